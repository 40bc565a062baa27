//! The shipped configuration files, changed only as far as one launch needs.
//!
//! Changes apply to the parsed structure, never to text, and everything else stays as shipped: the CLI, the tests and
//! the benchmarks start what operators run. A change whose place is missing is an error and never skipped.

mod addresses;
mod changes;
mod inspecting;

use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;
use serde_json::{Value, json};

pub use self::changes::{Changes, Filter, Inspection};
use crate::ecds;
use crate::error::Result;
use crate::shipped::{FORWARD_PROXY, INSPECTING_PROXY, Shipped, named, remove, string_state};

const LISTENER: &str = "/static_resources/listeners/0";
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The shipped configuration with `changes`, as the JSON that Envoy reads: `inspecting-proxy.yaml` if `inspection` is
/// set, else `forward-proxy.yaml`.
///
/// # Errors
/// The shipped file lacks a place that has to change, or the system's roots are not found.
pub fn proxy(changes: &Changes) -> Result<Value> {
    let mut file = match changes.inspection {
        None => Shipped::parse(FORWARD_PROXY)?,
        Some(_) => Shipped::parse(INSPECTING_PROXY)?,
    };
    set_address(&mut file, "/admin/address/socket_address", changes.admin)?;
    set_address(&mut file, &format!("{LISTENER}/address/socket_address"), changes.listen)?;

    let mut exceptions = changes.allow_upstream.clone();
    if let Some(address) = changes.stand_in {
        exceptions.push(IpNet::from(address.ip()));
    }
    addresses::allow(&mut file, &exceptions)?;
    if !changes.resolved_address_filter {
        addresses::drop_resolved_address_filter(&mut file)?;
    }
    if let Some(address) = changes.stand_in {
        send_everything_to(&mut file, address)?;
    }
    if let Some((certificate, key)) = &changes.tls {
        speak_tls(&mut file, certificate, key)?;
    }
    if let Some(lifetime) = changes.tunnel_lifetime {
        let tunnel = file.named(&routes(), "tunnel")?;
        match tunnel.pointer_mut("/route/max_stream_duration/max_stream_duration") {
            Some(limit) => *limit = json!(format!("{:.3}s", lifetime.as_secs_f64())),
            None => return Err(file.missing("max_stream_duration of the route tunnel")),
        }
    }
    if let Some(inspection) = &changes.inspection {
        inspecting::change(&mut file, changes, inspection)?;
    }
    place_plugin(&mut file, &changes.filter)?;
    Ok(file.into_value())
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

fn place_plugin(file: &mut Shipped, filter: &Filter) -> Result<()> {
    let missing = file.missing("entry named weir");
    let typed_config = match filter {
        Filter::Static { wasm, configuration } => Some(ecds::typed_config(wasm, configuration)?),
        _ => None,
    };
    let placed = file.each_filter_list(|filters| {
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
                // Without the plugin nothing announces which tunnels may pass.
                if let Some(filter) = named(filters, "not-inspected") {
                    remove(filter.pointer_mut("/typed_config/rules/policies")?, "not-announced")?;
                }
            }
        }
        Some(())
    });
    placed.map_err(|_| missing)
}

/// Makes the stand-in's address the one to connect to, after the plugin's decision. The DNS cache, the address check
/// and the Host header stay as they are.
fn send_everything_to(file: &mut Shipped, address: SocketAddr) -> Result<()> {
    let filter = json!({"name": "stand-in", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
        "on_request_headers": [
            string_state("envoy.upstream.dynamic_host", &address.ip().to_string()),
            string_state("envoy.upstream.dynamic_port", &address.port().to_string()),
        ],
    }});
    file.each_filter_list(|filters| {
        let proxy = named(filters, "envoy.filters.http.dynamic_forward_proxy")?;
        proxy.get_mut("typed_config")?["allow_dynamic_host_from_filter_state"] = json!(true);
        let after_weir = filters.iter().position(|filter| filter["name"] == "weir").map_or(0, |at| at + 1);
        filters.insert(after_weir, filter.clone());
        Some(())
    })
}

fn speak_tls(file: &mut Shipped, certificate: &Path, key: &Path) -> Result<()> {
    // Only the TLS inspector reads the server name from the ClientHello.
    let listener = file.at(LISTENER)?;
    listener["listener_filters"] = json!([{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    }}]);
    let chain = file.at(&format!("{LISTENER}/filter_chains/0"))?;
    chain["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [{"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}],
        },
    }});
    // Requests that arrive over TLS rightly have the scheme https.
    file.named(&routes(), "https-without-connect")?;
    if let Some(routes) = file.at(&routes())?.as_array_mut() {
        routes.retain(|route| route["name"] != "https-without-connect");
    }
    Ok(())
}

fn set_address(file: &mut Shipped, place: &str, address: SocketAddr) -> Result<()> {
    *file.at(&format!("{place}/address"))? = json!(address.ip());
    *file.at(&format!("{place}/port_value"))? = json!(address.port());
    Ok(())
}

#[cfg(test)]
fn shipped(file: crate::shipped::File) -> Value {
    Shipped::parse(file).map_or(Value::Null, Shipped::into_value)
}

#[cfg(test)]
mod inspecting_tests;
#[cfg(test)]
mod sidecar_tests;
#[cfg(test)]
mod tests;
