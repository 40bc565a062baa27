//! Changes to what only `inspecting-proxy.yaml` has: the issuer, the roots that verify origins, the tunnel listener.

use std::net::SocketAddr;

use serde_json::json;

use super::changes::{Changes, Filter, Inspection};
use crate::error::{Error, Result};
use crate::roots;
use crate::shipped::{Shipped, named, string_state};

const LISTENERS: &str = "/static_resources/listeners";
const CLUSTERS: &str = "/static_resources/clusters";
const ORIGIN_FILTER: &str = "origin";
const NAME_FILTERS: [&str; 2] = ["server-name", "envoy.filters.network.rbac"];

/// Applies the changes that only this file needs.
pub(crate) fn change(file: &mut Shipped, changes: &Changes, inspection: &Inspection) -> Result<()> {
    let issuer = file
        .named(CLUSTERS, "issuer")?
        .pointer_mut("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path");
    match issuer {
        Some(path) => *path = json!(inspection.issuer),
        None => return Err(file.missing("pipe of the issuer")),
    }
    let roots = inspection.origin_roots.clone().or_else(roots::system_roots);
    let roots = roots.ok_or_else(|| Error::NoRoots(roots::PLACES.join(", ")))?;
    file.each(
        "trusted_ca",
        |object| object.get("trusted_ca").is_some(),
        |context| {
            *context.pointer_mut("/trusted_ca/filename")? = json!(roots);
            Some(())
        },
    )?;
    if let Some(address) = changes.stand_in {
        send_passthrough_to(file, address)?;
    }
    if changes.filter == Filter::Absent {
        inspect_every_tunnel(file)?;
    }
    Ok(())
}

/// The stand-in for passthrough tunnels, which `forward-proxy.yaml` sets in an HTTP filter.
fn send_passthrough_to(file: &mut Shipped, address: SocketAddr) -> Result<()> {
    let states = json!([
        string_state("envoy.upstream.dynamic_host", &address.ip().to_string()),
        string_state("envoy.upstream.dynamic_port", &address.port().to_string()),
    ]);
    let missing = file.missing("filter origin of the chain passthrough");
    let tunnel = file.named(LISTENERS, "tunnel")?;
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

/// Without the plugin no filter state says how to treat a tunnel: Envoy inspects every one and compares no name.
fn inspect_every_tunnel(file: &mut Shipped) -> Result<()> {
    let missing = file.missing("chain inspected");
    let tunnel = file.named(LISTENERS, "tunnel")?;
    let chains = tunnel["filter_chains"].as_array_mut().and_then(|chains| named(chains, "inspected"));
    let Some(filters) = chains.and_then(|chain| chain["filters"].as_array_mut()) else { return Err(missing) };
    filters.retain(|filter| NAME_FILTERS.iter().all(|name| filter["name"] != *name));
    let on_match = tunnel.pointer_mut("/filter_chain_matcher/matcher_tree/exact_match_map/map/tls").ok_or(missing)?;
    let inspected =
        on_match.pointer("/matcher/matcher_tree/exact_match_map/map/inspected").cloned().unwrap_or_default();
    *on_match = inspected;
    Ok(())
}
