//! Which addresses are public: what the preset `all` may reach by address.
//!
//! The ranges are those of IANA's special-purpose address registries (RFC 6890 and its updates)
//! that are not globally reachable, with multicast (RFC 5771) and the addresses at which clouds
//! serve credentials. An address that nobody has made public is not public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` is globally reachable unicast.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.iter().any(|&(network, bits)| in_v4(v4, network, bits)),
        IpAddr::V6(v6) => {
            in_v6(v6, GLOBAL_UNICAST.0, GLOBAL_UNICAST.1)
                && !NOT_PUBLIC_V6.iter().any(|&(network, bits)| in_v6(v6, network, bits))
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

const NOT_PUBLIC_V4: &[(Ipv4Addr, u32)] = &[
    (v4(0, 0, 0, 0), 8),        // this network, RFC 791
    (v4(10, 0, 0, 0), 8),       // private, RFC 1918
    (v4(100, 64, 0, 0), 10),    // carrier-grade NAT, RFC 6598; holds 100.100.100.200, a metadata service
    (v4(127, 0, 0, 0), 8),      // loopback, RFC 1122
    (v4(168, 63, 129, 16), 32), // Azure's host service
    (v4(169, 254, 0, 0), 16),   // link-local, RFC 3927; holds 169.254.169.254, the metadata service
    (v4(172, 16, 0, 0), 12),    // private, RFC 1918
    (v4(192, 0, 0, 0), 24),     // protocol assignments, RFC 6890; holds 192.0.0.192, a metadata service
    (v4(192, 0, 2, 0), 24),     // documentation, RFC 5737
    (v4(192, 88, 99, 0), 24),   // 6to4 relays, RFC 7526
    (v4(192, 168, 0, 0), 16),   // private, RFC 1918
    (v4(198, 18, 0, 0), 15),    // benchmarks, RFC 2544
    (v4(198, 51, 100, 0), 24),  // documentation, RFC 5737
    (v4(203, 0, 113, 0), 24),   // documentation, RFC 5737
    (v4(224, 0, 0, 0), 4),      // multicast, RFC 5771
    (v4(240, 0, 0, 0), 4),      // reserved and broadcast, RFC 1112 and RFC 8190
];

/// All that IANA has given out as global unicast lies in here (RFC 4291 section 2.4).
const GLOBAL_UNICAST: (u128, u32) = (0x2000 << 112, 3);

const NOT_PUBLIC_V6: &[(u128, u32)] = &[
    (0x2001 << 112, 23),     // protocol assignments, RFC 2928; holds Teredo, which embeds IPv4
    (0x2001_0db8 << 96, 32), // documentation, RFC 3849
    (0x2002 << 112, 16),     // 6to4, RFC 3056; embeds IPv4
    (0x3fff << 112, 20),     // documentation, RFC 9637
];

fn in_v4(address: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    (u32::from(address) ^ u32::from(network)).leading_zeros() >= bits
}

fn in_v6(address: Ipv6Addr, network: u128, bits: u32) -> bool {
    (u128::from(address) ^ network).leading_zeros() >= bits
}
