//! The address ranges that are not public. The preset `all` allows every public address and no other.
//!
//! The ranges are those of IANA's special-purpose address registries (RFC 6890 and its updates) that are not
//! globally reachable, with multicast and the addresses at which clouds serve credentials. This list decides; any
//! copy of it elsewhere, in a configuration for Envoy say, has to be compared with [`NOT_PUBLIC`] by a test.
//! An address must never count as public because no list has it: all of IPv6 outside `2000::/3` is listed here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses, and why it is not public. Its `Display` is the CIDR notation of RFC 4632, `10.0.0.0/8`.
///
/// ```
/// let ranges: Vec<String> = weir_policy::address::NOT_PUBLIC.iter().map(|range| range.to_string()).collect();
/// assert!(ranges.contains(&"169.254.0.0/16".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub network: IpAddr,
    /// How many leading bits all addresses of the range share.
    pub prefix_len: u32,
    /// What the range is for, and the RFC that says so.
    pub what: &'static str,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_len)
    }
}

/// The rows of the table below: once as [`NOT_PUBLIC`], and once as numbers to compare with, so that the plugin
/// does not carry the words.
macro_rules! not_public {
    (
        v4: $([$($v4:literal),+] / $v4_len:literal, $v4_what:literal;)+
        v6: $([$($v6:literal),+] / $v6_len:literal, $v6_what:literal;)+
    ) => {
        /// Every range that is not public, IPv4 first. An IPv4-mapped IPv6 address counts as the IPv4 address that
        /// it stands for (RFC 4291 section 2.5.5.2).
        pub const NOT_PUBLIC: &[Range] = &[
            $(Range {
                network: IpAddr::V4(Ipv4Addr::new($($v4),+)),
                prefix_len: $v4_len,
                what: $v4_what,
            },)+
            $(Range {
                network: IpAddr::V6(Ipv6Addr::new($($v6),+)),
                prefix_len: $v6_len,
                what: $v6_what,
            },)+
        ];

        const NOT_PUBLIC_V4: &[(u32, u32)] = &[$((Ipv4Addr::new($($v4),+).to_bits(), $v4_len),)+];
        const NOT_PUBLIC_V6: &[(u128, u32)] = &[$((Ipv6Addr::new($($v6),+).to_bits(), $v6_len),)+];
    };
}

not_public! {
    v4:
    [0, 0, 0, 0] / 8, "this network, RFC 791";
    [10, 0, 0, 0] / 8, "private, RFC 1918";
    [100, 64, 0, 0] / 10, "carrier-grade NAT, RFC 6598; holds 100.100.100.200, a metadata service";
    [127, 0, 0, 0] / 8, "loopback, RFC 1122";
    [168, 63, 129, 16] / 32, "Azure's host agent and metadata service";
    [169, 254, 0, 0] / 16, "link-local, RFC 3927; holds 169.254.169.254, the metadata service";
    [172, 16, 0, 0] / 12, "private, RFC 1918";
    [192, 0, 0, 0] / 24, "protocol assignments, RFC 6890; holds 192.0.0.192, a metadata service";
    [192, 0, 2, 0] / 24, "documentation, RFC 5737";
    [192, 88, 99, 0] / 24, "6to4 relays, RFC 7526";
    [192, 168, 0, 0] / 16, "private, RFC 1918";
    [198, 18, 0, 0] / 15, "benchmarks, RFC 2544";
    [198, 51, 100, 0] / 24, "documentation, RFC 5737";
    [203, 0, 113, 0] / 24, "documentation, RFC 5737";
    [224, 0, 0, 0] / 3, "multicast, RFC 5771; reserved, RFC 1112; broadcast, RFC 8190";

    v6:
    [0, 0, 0, 0, 0, 0, 0, 0] / 3, "not global unicast, RFC 4291; holds ::1 and what embeds IPv4";
    [0x4000, 0, 0, 0, 0, 0, 0, 0] / 2, "not assigned, RFC 4291";
    [0x8000, 0, 0, 0, 0, 0, 0, 0] / 1, "not assigned, RFC 4291; holds fc00::/7, fe80::/10 and ff00::/8";
    [0x2001, 0, 0, 0, 0, 0, 0, 0] / 23, "protocol assignments, RFC 2928; holds Teredo, which embeds IPv4";
    [0x2001, 0x0db8, 0, 0, 0, 0, 0, 0] / 32, "documentation, RFC 3849";
    [0x2002, 0, 0, 0, 0, 0, 0, 0] / 16, "6to4, RFC 3056; embeds IPv4";
    [0x3fff, 0, 0, 0, 0, 0, 0, 0] / 20, "documentation, RFC 9637";
}

/// Whether `address` is globally reachable unicast: in none of [`NOT_PUBLIC`].
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !NOT_PUBLIC_V4.iter().any(|&(network, bits)| (v4.to_bits() ^ network).leading_zeros() >= bits)
        }
        IpAddr::V6(v6) => {
            !NOT_PUBLIC_V6.iter().any(|&(network, bits)| (v6.to_bits() ^ network).leading_zeros() >= bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first and the last address of a range, and the ones before and after it.
    fn edges(range: &Range) -> [Option<IpAddr>; 4] {
        match range.network {
            IpAddr::V4(network) => {
                let (first, size) = (network.to_bits(), 1_u64 << (32 - range.prefix_len));
                let last = u32::try_from(u64::from(first) + size - 1).unwrap();
                let all = [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)];
                all.map(|bits| bits.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))))
            }
            IpAddr::V6(network) => {
                let first = network.to_bits();
                let last = first | u128::MAX.checked_shr(range.prefix_len).unwrap_or_default();
                let all = [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)];
                all.map(|bits| bits.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))))
            }
        }
    }

    /// By the address as text, so that nothing is shared with the code above.
    fn is_listed(address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => format!("{:032b}", v4.to_bits()),
            IpAddr::V6(v6) => format!("{:0128b}", v6.to_bits()),
        };
        NOT_PUBLIC.iter().filter(|range| range.network.is_ipv4() == address.is_ipv4()).any(|range| {
            let length = usize::try_from(range.prefix_len).unwrap();
            bits(address)[..length] == bits(range.network)[..length]
        })
    }

    #[test]
    fn the_decision_follows_the_list_at_every_edge() {
        for range in NOT_PUBLIC {
            let [first, last, before, after] = edges(range);
            assert!([first, last].into_iter().flatten().all(|address| !is_public(address)), "{range}");
            for address in [before, after].into_iter().flatten().filter(|address| address.to_canonical() == *address) {
                assert_eq!(is_public(address), !is_listed(address), "{address} beside {range}");
            }
            assert!(!range.what.is_empty(), "{range}");
        }
    }

    #[test]
    fn a_range_begins_at_its_network_and_stands_once() {
        for (index, range) in NOT_PUBLIC.iter().enumerate() {
            let bits = match range.network {
                IpAddr::V4(network) => u128::from(network.to_bits()) << 96,
                IpAddr::V6(network) => network.to_bits(),
            };
            assert_eq!(bits << range.prefix_len, 0, "{range} begins at its network");
            assert!(!NOT_PUBLIC[index + 1..].contains(range), "{range} stands twice");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        for address in ["1.1.1.1", "8.8.8.8", "93.184.216.34", "223.255.255.255", "2606:4700::1111", "2a00::1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["::ffff:10.0.0.1", "::1", "64:ff9b::7f00:1", "fe80::1", "255.255.255.255"] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        assert!(is_public("::ffff:1.1.1.1".parse().unwrap()));
    }
}
