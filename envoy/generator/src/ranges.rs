//! The addresses that no configuration connects to, as the templates write them.
//!
//! `weir_policy` decides what is public. `tests/consistency.rs` compares every copy with its decision.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use minijinja::{Value, context};

/// Every range that is not public, in order. Each has `family` (4 or 6), `cidr`, `envoy` (Envoy's `CidrRange` as YAML),
/// `note` (what the range is for; may be empty) and `global_unicast` (whether it lies in 2000::/3).
pub(crate) fn not_public() -> Value {
    RANGES.iter().map(|&(network, length, note)| range(network, length, note)).collect()
}

fn range(network: IpAddr, length: u8, note: &str) -> Value {
    let (family, prefix, global_unicast) = match network {
        IpAddr::V4(v4) => (4, v4.to_string(), false),
        // In quotes: YAML would read a colon as the end of a key.
        IpAddr::V6(v6) => (6, format!("\"{v6}\""), v6.to_bits() >> 125 == 1),
    };
    let envoy = format!("{{address_prefix: {prefix}, prefix_len: {length}}}");
    context! { family, cidr => format!("{network}/{length}"), envoy, note, global_unicast }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(first: u16, second: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0))
}

const RANGES: &[(IpAddr, u8, &str)] = &[
    (v4(0, 0, 0, 0), 8, "this host, RFC 1122"),
    (v4(10, 0, 0, 0), 8, "private, RFC 1918"),
    (v4(100, 64, 0, 0), 10, "carrier-grade NAT, RFC 6598; cloud metadata too"),
    (v4(127, 0, 0, 0), 8, "loopback"),
    (v4(168, 63, 129, 16), 32, "Azure's host agent and metadata"),
    (v4(169, 254, 0, 0), 16, "link-local; 169.254.169.254 is cloud metadata"),
    (v4(172, 16, 0, 0), 12, "private, RFC 1918"),
    (v4(192, 0, 0, 0), 24, "protocol assignments, RFC 6890; metadata at Oracle"),
    (v4(192, 0, 2, 0), 24, "documentation"),
    (v4(192, 88, 99, 0), 24, "6to4 relay, RFC 7526"),
    (v4(192, 168, 0, 0), 16, "private, RFC 1918"),
    (v4(198, 18, 0, 0), 15, "benchmarking, RFC 2544"),
    (v4(198, 51, 100, 0), 24, "documentation"),
    (v4(203, 0, 113, 0), 24, "documentation"),
    (v4(224, 0, 0, 0), 3, "multicast, reserved, broadcast"),
    (v6(0, 0), 3, ""),
    (v6(0x4000, 0), 2, ""),
    (v6(0x8000, 0), 1, ""),
    (v6(0x2001, 0), 23, "protocol assignments: Teredo, ORCHID, benchmarking"),
    (v6(0x2001, 0x0db8), 32, "documentation"),
    (v6(0x2002, 0), 16, "6to4, carries any IPv4 address"),
    (v6(0x3fff, 0), 20, "documentation, RFC 9637"),
];
