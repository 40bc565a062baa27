//! `forward-proxy.yaml`, the file that people copy, changed just as far as one start needs it.
//!
//! It is changed by structure, never by text, and everything that is not named here stays as it is shipped: what the CLI,
//! the tests and the benchmarks start is what people run. A place that is gone is an error, never skipped.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::ecds::{self, Configuration};
use crate::error::{Error, Result};

/// `forward-proxy.yaml` as it is shipped.
pub const FORWARD_PROXY_YAML: &str = include_str!("../forward-proxy.yaml");

const FILE: &str = "forward-proxy.yaml";
pub(crate) const FILTER: &str = "filter.yaml";

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const CLUSTER_CACHE: &str = "/static_resources/clusters/0/cluster_type/typed_config/dns_cache_config";
const UPSTREAM_IP: &str =
    "type.googleapis.com/envoy.extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher";

/// How the plugin gets into Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// By ECDS from the file at this path: the shipped way, and the policy can be changed while Envoy runs.
    Discovered(PathBuf),
    /// Written into the filter chain: Envoy refuses to start with a policy that has a mistake.
    Static {
        /// The module.
        wasm: PathBuf,
        /// The policy.
        configuration: Configuration,
    },
    /// No plugin at all: what the benchmarks compare with.
    Absent,
}

/// What one start changes in the shipped file.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Where the proxy listens.
    pub listen: SocketAddr,
    /// Where the admin interface listens.
    pub admin: SocketAddr,
    /// How the plugin gets in.
    pub filter: Filter,
    /// Every request is sent to this address instead of where its name resolves to; see [`crate::stand_in`].
    pub stand_in: Option<SocketAddr>,
    /// Networks that may be reached although they are private.
    pub allow_upstream: Vec<IpNet>,
    /// Certificate chain and key (PEM files): the listener speaks TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Ends a tunnel earlier than the shipped half hour.
    pub tunnel_lifetime: Option<std::time::Duration>,
    /// Envoy before 1.39 has no `resolved_address_filter`; without it only the RBAC filter guards the first address.
    pub resolved_address_filter: bool,
}

impl Default for Changes {
    fn default() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: loopback,
            admin: loopback,
            filter: Filter::Discovered("/etc/envoy/filter.yaml".into()),
            stand_in: None,
            allow_upstream: Vec::new(),
            tls: None,
            tunnel_lifetime: None,
            resolved_address_filter: true,
        }
    }
}

/// The shipped configuration with `changes`, as the JSON that Envoy reads.
///
/// # Errors
/// The shipped file lost a place that has to be changed.
pub fn forward_proxy(changes: &Changes) -> Result<Value> {
    let mut document = parse(FILE, FORWARD_PROXY_YAML)?;
    set_address(&mut document, "/admin/address/socket_address", changes.admin)?;
    set_address(&mut document, "/static_resources/listeners/0/address/socket_address", changes.listen)?;

    let mut exceptions = changes.allow_upstream.clone();
    if let Some(address) = changes.stand_in {
        exceptions.push(IpNet::from(address.ip()));
    }
    allow_upstream(&mut document, &exceptions)?;
    if !changes.resolved_address_filter {
        for cache in dns_caches(&mut document)? {
            remove(cache, "resolved_address_filter")?;
        }
    }
    if let Some(address) = changes.stand_in {
        send_everything_to(&mut document, address)?;
    }
    if let Some((certificate, key)) = &changes.tls {
        speak_tls(&mut document, certificate, key)?;
    }
    if let Some(lifetime) = changes.tunnel_lifetime {
        let tunnel =
            named(at(FILE, &mut document, &format!("{MANAGER}/route_config/virtual_hosts/0/routes"))?, "tunnel")?;
        *at(FILE, tunnel, "/route/max_stream_duration/max_stream_duration")? =
            json!(format!("{:.3}s", lifetime.as_secs_f64()));
    }
    place_plugin(&mut document, &changes.filter)?;
    Ok(document)
}

fn place_plugin(document: &mut Value, filter: &Filter) -> Result<()> {
    let filters = at(FILE, document, &format!("{MANAGER}/http_filters"))?;
    let weir = named(filters, "weir")?;
    match filter {
        Filter::Discovered(path) => {
            *at(FILE, weir, "/config_discovery/config_source/path_config_source/path")? = json!(path);
        }
        Filter::Static { wasm, configuration } => {
            remove(weir, "config_discovery")?;
            weir["typed_config"] = ecds::typed_config(wasm, configuration)?;
        }
        Filter::Absent => list(filters, "http_filters")?.retain(|filter| filter["name"] != "weir"),
    }
    Ok(())
}

/// Takes `exceptions` out of what the DNS cache filters, and adds them to what the RBAC filter lets through.
fn allow_upstream(document: &mut Value, exceptions: &[IpNet]) -> Result<()> {
    if exceptions.is_empty() {
        return Ok(());
    }
    for cache in dns_caches(document)? {
        let ranges = at(FILE, cache, "/resolved_address_filter/ranges")?;
        let mut kept = ranges_of(ranges)?;
        for exception in exceptions {
            kept = kept.into_iter().flat_map(|range| without(range, *exception)).collect();
        }
        *ranges = kept
            .iter()
            .map(|range| json!({"address_prefix": range.addr(), "prefix_len": range.prefix_len()}))
            .collect();
    }
    let filters = at(FILE, document, &format!("{MANAGER}/http_filters"))?;
    let rbac = named(filters, "envoy.filters.http.rbac")?;
    let permissions = at(FILE, rbac, "/typed_config/rules/policies/public-address/permissions")?;
    list(permissions, "permissions")?.extend(exceptions.iter().map(|exception| {
        json!({"matcher": {"name": exception.to_string(), "typed_config": {
            "@type": UPSTREAM_IP,
            "upstream_ip": {"address_prefix": exception.addr(), "prefix_len": exception.prefix_len()},
        }}})
    }));
    Ok(())
}

/// `range` less `hole`, as the fewest networks.
fn without(range: IpNet, hole: IpNet) -> Vec<IpNet> {
    if hole.contains(&range) {
        return Vec::new();
    }
    if !range.contains(&hole) {
        return vec![range];
    }
    match range.subnets(range.prefix_len() + 1) {
        Ok(halves) => halves.flat_map(|half| without(half, hole)).collect(),
        Err(_) => Vec::new(),
    }
}

/// Names the stand-in's address as the one to connect to, after the plugin has decided. The DNS cache, the check of the
/// address and the Host header stay what they are.
fn send_everything_to(document: &mut Value, address: SocketAddr) -> Result<()> {
    let text = |key: &str, value: String| json!({"object_key": key, "format_string": {"text_format_source": {"inline_string": value}}});
    let filter = json!({"name": "stand-in", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
        "on_request_headers": [
            text("envoy.upstream.dynamic_host", address.ip().to_string()),
            text("envoy.upstream.dynamic_port", address.port().to_string()),
        ],
    }});
    let filters = at(FILE, document, &format!("{MANAGER}/http_filters"))?;
    let proxy = named(filters, "envoy.filters.http.dynamic_forward_proxy")?;
    at(FILE, proxy, "/typed_config")?["allow_dynamic_host_from_filter_state"] = json!(true);
    let filters = list(filters, "http_filters")?;
    let after_weir = filters.iter().position(|filter| filter["name"] == "weir").map_or(0, |at| at + 1);
    filters.insert(after_weir, filter);
    Ok(())
}

fn speak_tls(document: &mut Value, certificate: &Path, key: &Path) -> Result<()> {
    // The server name of the client's hello is only known where somebody has looked for it.
    let listener = at(FILE, document, "/static_resources/listeners/0")?;
    listener["listener_filters"] = json!([{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    }}]);
    let chain = at(FILE, document, "/static_resources/listeners/0/filter_chains/0")?;
    chain["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [{"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}],
        },
    }});
    // What arrives over TLS has the scheme https by right.
    let routes = at(FILE, document, &format!("{MANAGER}/route_config/virtual_hosts/0/routes"))?;
    named(routes, "https-without-connect")?;
    list(routes, "routes")?.retain(|route| route["name"] != "https-without-connect");
    Ok(())
}

fn dns_caches(document: &mut Value) -> Result<[&mut Value; 2]> {
    let [listeners, clusters] = ["listeners", "clusters"];
    let resources =
        at(FILE, document, "/static_resources")?.as_object_mut().ok_or_else(|| missing(FILE, "/static_resources"))?;
    let mut filters = None;
    let mut cluster = None;
    for (name, value) in resources.iter_mut() {
        if name == listeners {
            filters = Some(value);
        } else if name == clusters {
            cluster = Some(value);
        }
    }
    let filters = filters.ok_or_else(|| missing(FILE, MANAGER))?;
    let filters =
        at(FILE, filters, &format!("{}/http_filters", MANAGER.trim_start_matches("/static_resources/listeners")))?;
    let proxy = named(filters, "envoy.filters.http.dynamic_forward_proxy")?;
    let cluster = cluster.ok_or_else(|| missing(FILE, CLUSTER_CACHE))?;
    Ok([
        at(FILE, proxy, "/typed_config/dns_cache_config")?,
        at(FILE, cluster, CLUSTER_CACHE.trim_start_matches("/static_resources/clusters"))?,
    ])
}

fn ranges_of(ranges: &Value) -> Result<Vec<IpNet>> {
    let broken = || missing(FILE, "resolved_address_filter/ranges/*/{address_prefix, prefix_len}");
    ranges
        .as_array()
        .ok_or_else(broken)?
        .iter()
        .map(|range| {
            let address: IpAddr = range["address_prefix"].as_str().and_then(|a| a.parse().ok()).ok_or_else(broken)?;
            let length = range["prefix_len"].as_u64().and_then(|l| u8::try_from(l).ok()).ok_or_else(broken)?;
            IpNet::new(address, length).map_err(|_| broken())
        })
        .collect()
}

fn set_address(document: &mut Value, place: &str, address: SocketAddr) -> Result<()> {
    let socket = at(FILE, document, place)?;
    *at(FILE, socket, "/address")? = json!(address.ip());
    *at(FILE, socket, "/port_value")? = json!(address.port());
    Ok(())
}

pub(crate) fn parse(file: &'static str, text: &str) -> Result<Value> {
    serde_saphyr::from_str(text)
        .map_err(|mistake| Error::Config { file, place: format!("YAML that can be read ({mistake})") })
}

pub(crate) fn at<'v>(file: &'static str, value: &'v mut Value, place: &str) -> Result<&'v mut Value> {
    value.pointer_mut(place).ok_or_else(|| missing(file, place))
}

fn named<'v>(entries: &'v mut Value, name: &str) -> Result<&'v mut Value> {
    list(entries, name)?
        .iter_mut()
        .find(|entry| entry["name"] == name)
        .ok_or_else(|| missing(FILE, &format!("entry named {name}")))
}

fn list<'v>(value: &'v mut Value, place: &str) -> Result<&'v mut Vec<Value>> {
    value.as_array_mut().ok_or_else(|| missing(FILE, &format!("list of {place}")))
}

fn remove(value: &mut Value, field: &str) -> Result<()> {
    value.as_object_mut().and_then(|fields| fields.remove(field)).map(|_| ()).ok_or_else(|| missing(FILE, field))
}

fn missing(file: &'static str, place: &str) -> Error {
    Error::Config { file, place: place.to_owned() }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
