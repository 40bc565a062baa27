//! What only `inspecting-proxy.yaml` has: the issuer, the roots that origins are checked against, the tunnel.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;

use super::document::{Document, named};
use super::{Changes, Filter, string_state};
use crate::error::{Error, Result};
use crate::roots;

/// `inspecting-proxy.yaml` as it is shipped.
pub const INSPECTING_PROXY_YAML: &str = include_str!("../../inspecting-proxy.yaml");

pub(crate) const FILE: &str = "inspecting-proxy.yaml";

const LISTENERS: &str = "/static_resources/listeners";
const CLUSTERS: &str = "/static_resources/clusters";
const ORIGIN_FILTER: &str = "origin";
const NAME_FILTERS: [&str; 2] = ["server-name", "envoy.filters.network.rbac"];

/// What TLS inspection needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The Unix socket of the issuer.
    pub issuer: PathBuf,
    /// What the certificates of origins are checked against (PEM); the system's own unless told.
    pub origin_roots: Option<PathBuf>,
}

/// The changes that only this file knows.
pub(super) fn change(document: &mut Document, changes: &Changes, inspection: &Inspection) -> Result<()> {
    let issuer = document
        .named(CLUSTERS, "issuer")?
        .pointer_mut("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path");
    match issuer {
        Some(path) => *path = json!(inspection.issuer),
        None => return Err(document.missing("pipe of the issuer")),
    }
    let roots = inspection.origin_roots.clone().or_else(roots::system_roots);
    let roots = roots.ok_or_else(|| Error::NoRoots(roots::PLACES.join(", ")))?;
    document.each(
        "trusted_ca",
        |object| object.get("trusted_ca").is_some(),
        |context| {
            *context.pointer_mut("/trusted_ca/filename")? = json!(roots);
            Some(())
        },
    )?;
    if let Some(address) = changes.stand_in {
        send_passthrough_to(document, address)?;
    }
    if changes.filter == Filter::Absent {
        open_every_tunnel(document)?;
    }
    Ok(())
}

/// What `forward-proxy.yaml` does by an HTTP filter, for tunnels that are passed through.
fn send_passthrough_to(document: &mut Document, address: SocketAddr) -> Result<()> {
    let states = json!([
        string_state("envoy.upstream.dynamic_host", &address.ip().to_string()),
        string_state("envoy.upstream.dynamic_port", &address.port().to_string()),
    ]);
    let missing = document.missing("filter origin of the chain passthrough");
    let tunnel = document.named(LISTENERS, "tunnel")?;
    let origin = tunnel["filter_chains"]
        .as_array_mut()
        .and_then(|chains| named(chains, "passthrough"))
        .and_then(|chain| chain["filters"].as_array_mut())
        .and_then(|filters| named(filters, ORIGIN_FILTER))
        .and_then(|filter| filter.pointer_mut("/typed_config/on_new_connection"))
        .ok_or(missing)?;
    *origin = states;
    Ok(())
}

/// Without the plugin nobody says what a tunnel is for: every one is inspected, and no name is compared.
fn open_every_tunnel(document: &mut Document) -> Result<()> {
    let missing = document.missing("chain inspected");
    let tunnel = document.named(LISTENERS, "tunnel")?;
    let chains = tunnel["filter_chains"].as_array_mut().and_then(|chains| named(chains, "inspected"));
    let Some(filters) = chains.and_then(|chain| chain["filters"].as_array_mut()) else { return Err(missing) };
    filters.retain(|filter| NAME_FILTERS.iter().all(|name| filter["name"] != *name));
    let on_match = tunnel.pointer_mut("/filter_chain_matcher/matcher_tree/exact_match_map/map/tls").ok_or(missing)?;
    let inspected =
        on_match.pointer("/matcher/matcher_tree/exact_match_map/map/inspected").cloned().unwrap_or_default();
    *on_match = inspected;
    Ok(())
}
