//! The files that people copy, changed just as far as one start needs it.
//!
//! They are changed by structure, never by text, and everything that is not named here stays as it is shipped: what the CLI,
//! the tests and the benchmarks start is what people run. A place that is gone is an error, never skipped.

mod addresses;
mod document;
mod inspecting;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde_json::{Value, json};

use self::document::{Document, named, remove};
pub use self::inspecting::{INSPECTING_PROXY_YAML, Inspection};
use crate::ecds::{self, Configuration};
use crate::error::{Error, Result};

/// `forward-proxy.yaml` as it is shipped.
pub const FORWARD_PROXY_YAML: &str = include_str!("../../forward-proxy.yaml");

const FILE: &str = "forward-proxy.yaml";
pub(crate) const FILTER: &str = "filter.yaml";
pub(crate) const FILTER_TLS: &str = "filter-tls.yaml";

const LISTENER: &str = "/static_resources/listeners/0";
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

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
    /// What `inspecting-proxy.yaml` is started with.
    pub inspection: Option<Inspection>,
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
            inspection: None,
            resolved_address_filter: true,
        }
    }
}

/// The shipped configuration with `changes`, as the JSON that Envoy reads: `inspecting-proxy.yaml` where `inspection` is
/// there, else `forward-proxy.yaml`.
///
/// # Errors
/// The shipped file lost a place that has to be changed, or the system's roots are nowhere.
pub fn proxy(changes: &Changes) -> Result<Value> {
    let mut document = match changes.inspection {
        None => Document::parse(FILE, FORWARD_PROXY_YAML)?,
        Some(_) => Document::parse(inspecting::FILE, INSPECTING_PROXY_YAML)?,
    };
    set_address(&mut document, "/admin/address/socket_address", changes.admin)?;
    set_address(&mut document, &format!("{LISTENER}/address/socket_address"), changes.listen)?;

    let mut exceptions = changes.allow_upstream.clone();
    if let Some(address) = changes.stand_in {
        exceptions.push(IpNet::from(address.ip()));
    }
    addresses::allow(&mut document, &exceptions)?;
    if !changes.resolved_address_filter {
        addresses::drop_resolved_address_filter(&mut document)?;
    }
    if let Some(address) = changes.stand_in {
        send_everything_to(&mut document, address)?;
    }
    if let Some((certificate, key)) = &changes.tls {
        speak_tls(&mut document, certificate, key)?;
    }
    if let Some(lifetime) = changes.tunnel_lifetime {
        let tunnel = document.named(&routes(), "tunnel")?;
        match tunnel.pointer_mut("/route/max_stream_duration/max_stream_duration") {
            Some(limit) => *limit = json!(format!("{:.3}s", lifetime.as_secs_f64())),
            None => return Err(document.missing("max_stream_duration of the route tunnel")),
        }
    }
    if let Some(inspection) = &changes.inspection {
        inspecting::change(&mut document, changes, inspection)?;
    }
    place_plugin(&mut document, &changes.filter)?;
    Ok(document.into_value())
}

/// `forward-proxy.yaml` with `changes`; see [`proxy`].
///
/// # Errors
/// As [`proxy`].
pub fn forward_proxy(changes: &Changes) -> Result<Value> {
    proxy(&Changes { inspection: None, ..changes.clone() })
}

fn routes() -> String {
    format!("{MANAGER}/route_config/virtual_hosts/0/routes")
}

fn place_plugin(document: &mut Document, filter: &Filter) -> Result<()> {
    let missing = document.missing("entry named weir");
    let typed_config = match filter {
        Filter::Static { wasm, configuration } => Some(ecds::typed_config(wasm, configuration)?),
        _ => None,
    };
    let placed = document.each_filter_list(|filters| {
        let weir = named(filters, "weir")?;
        match filter {
            Filter::Discovered(path) => {
                *weir.pointer_mut("/config_discovery/config_source/path_config_source/path")? = json!(path);
            }
            Filter::Static { .. } => {
                remove(weir, "config_discovery")?;
                weir["typed_config"] = json!(typed_config);
            }
            Filter::Absent => {
                filters.retain(|filter| filter["name"] != "weir");
                // Nobody is there to say of a tunnel that it may pass.
                if let Some(filter) = named(filters, "not-inspected") {
                    remove(filter.pointer_mut("/typed_config/rules/policies")?, "not-announced")?;
                }
            }
        }
        Some(())
    });
    placed.map_err(|_| missing)
}

/// A filter state whose value is known beforehand.
fn string_state(key: &str, value: &str) -> Value {
    json!({"object_key": key, "format_string": {"text_format_source": {"inline_string": value}}})
}

/// Names the stand-in's address as the one to connect to, after the plugin has decided. The DNS cache, the check of the
/// address and the Host header stay what they are.
fn send_everything_to(document: &mut Document, address: SocketAddr) -> Result<()> {
    let filter = json!({"name": "stand-in", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
        "on_request_headers": [
            string_state("envoy.upstream.dynamic_host", &address.ip().to_string()),
            string_state("envoy.upstream.dynamic_port", &address.port().to_string()),
        ],
    }});
    document.each_filter_list(|filters| {
        let proxy = named(filters, "envoy.filters.http.dynamic_forward_proxy")?;
        proxy.get_mut("typed_config")?["allow_dynamic_host_from_filter_state"] = json!(true);
        let after_weir = filters.iter().position(|filter| filter["name"] == "weir").map_or(0, |at| at + 1);
        filters.insert(after_weir, filter.clone());
        Some(())
    })
}

fn speak_tls(document: &mut Document, certificate: &Path, key: &Path) -> Result<()> {
    // The server name of the client's hello is only known where somebody has looked for it.
    let listener = document.at(LISTENER)?;
    listener["listener_filters"] = json!([{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    }}]);
    let chain = document.at(&format!("{LISTENER}/filter_chains/0"))?;
    chain["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [{"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}],
        },
    }});
    // What arrives over TLS has the scheme https by right.
    document.named(&routes(), "https-without-connect")?;
    if let Some(routes) = document.at(&routes())?.as_array_mut() {
        routes.retain(|route| route["name"] != "https-without-connect");
    }
    Ok(())
}

fn set_address(document: &mut Document, place: &str, address: SocketAddr) -> Result<()> {
    *document.at(&format!("{place}/address"))? = json!(address.ip());
    *document.at(&format!("{place}/port_value"))? = json!(address.port());
    Ok(())
}

pub(crate) fn parse(file: &'static str, text: &str) -> Result<Value> {
    Ok(Document::parse(file, text)?.into_value())
}

pub(crate) fn at<'v>(file: &'static str, value: &'v mut Value, place: &str) -> Result<&'v mut Value> {
    value.pointer_mut(place).ok_or_else(|| Error::Config { file, place: place.to_owned() })
}

#[cfg(test)]
mod inspecting_tests;
#[cfg(test)]
mod sidecar_tests;
#[cfg(test)]
mod tests;
