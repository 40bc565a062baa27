//! Which addresses Envoy may connect to, in every part of a configuration that limits them.
//!
//! The DNS caches drop private addresses from their answers, and RBAC filters refuse the rest. An exception must open
//! its own network and no more, and must open it in all of these places.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::error::Result;
use crate::shipped::{Shipped, remove};

const UPSTREAM_IP: &str =
    "type.googleapis.com/envoy.extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher";
const PERMISSIONS: &str = "/typed_config/rules/policies/public-address/permissions";

/// Removes `exceptions` from the ranges that the DNS caches drop, and adds them to those that the RBAC filters allow.
pub(crate) fn allow(file: &mut Shipped, exceptions: &[IpNet]) -> Result<()> {
    if exceptions.is_empty() {
        return Ok(());
    }
    file.each("resolved_address_filter", is_cache, |cache| {
        let ranges = cache.pointer_mut("/resolved_address_filter/ranges")?;
        let mut kept = read(ranges)?;
        for exception in exceptions {
            kept = kept.into_iter().flat_map(|range| without(range, *exception)).collect();
        }
        *ranges = kept
            .iter()
            .map(|range| json!({"address_prefix": range.addr(), "prefix_len": range.prefix_len()}))
            .collect();
        Some(())
    })?;
    file.each(
        "RBAC filter with a policy public-address",
        |object| object.pointer(PERMISSIONS).is_some(),
        |filter| {
            filter.pointer_mut(PERMISSIONS)?.as_array_mut()?.extend(exceptions.iter().map(|exception| {
                json!({"matcher": {"name": exception.to_string(), "typed_config": {
                    "@type": UPSTREAM_IP,
                    "upstream_ip": {"address_prefix": exception.addr(), "prefix_len": exception.prefix_len()},
                }}})
            }));
            Some(())
        },
    )
}

/// Removes the filter from the DNS caches, for an Envoy that does not support it.
pub(crate) fn drop_resolved_address_filter(file: &mut Shipped) -> Result<()> {
    file.each("resolved_address_filter", is_cache, |cache| remove(cache, "resolved_address_filter").map(|_| ()))
}

fn is_cache(object: &Value) -> bool {
    object.get("resolved_address_filter").is_some()
}

/// Reads a list of ranges in Envoy's form.
pub(crate) fn read(ranges: &Value) -> Option<Vec<IpNet>> {
    ranges
        .as_array()?
        .iter()
        .map(|range| {
            let address: IpAddr = range["address_prefix"].as_str()?.parse().ok()?;
            let length = u8::try_from(range["prefix_len"].as_u64()?).ok()?;
            IpNet::new(address, length).ok()
        })
        .collect()
}

/// `range` without `hole`, as the fewest networks.
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
