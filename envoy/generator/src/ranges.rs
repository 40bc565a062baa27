//! The addresses that no configuration connects to, as the templates write them.
//!
//! `weir_policy` decides which addresses are public; this only puts its list into words of YAML.

use std::net::IpAddr;

use minijinja::{Value, context};
use weir_policy::address::{NOT_PUBLIC, Range};

/// Every range that is not public, IPv4 first. Each has `family` (4 or 6), `cidr`, `envoy` (Envoy's `CidrRange` as YAML),
/// `what` (what the range is for) and `global_unicast` (whether it lies in `2000::/3`).
pub(crate) fn not_public() -> Value {
    NOT_PUBLIC.iter().map(range).collect()
}

fn range(range: &Range) -> Value {
    let (family, prefix, global_unicast) = match range.network {
        IpAddr::V4(v4) => (4, v4.to_string(), false),
        // In quotes: YAML would read a colon as the end of a key.
        IpAddr::V6(v6) => (6, format!("\"{v6}\""), v6.to_bits() >> 125 == 1),
    };
    let envoy = format!("{{address_prefix: {prefix}, prefix_len: {}}}", range.prefix_len);
    context! { family, cidr => range.to_string(), envoy, what => range.what, global_unicast }
}
