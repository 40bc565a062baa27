//! `:authority` from bytes to a typed host and port (RFC 9110 section 7.2, RFC 3986 section 3.2).
//!
//! Names are borrowed, never copied. Nothing here guesses: what is not plainly a host with an
//! optional port is [`InvalidAuthority`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::labels;

/// A host and the port beside it, if the client named one.
///
/// ```
/// use weir_policy::{Authority, Host};
///
/// let authority = Authority::parse(b"API.example.com.:8443")?;
/// assert_eq!((authority.host.to_string().as_str(), authority.port), ("api.example.com", Some(8443)));
/// assert!(matches!(Authority::parse(b"0x7f.1")?.host, Host::Numeric(_)));
/// assert!(Authority::parse(b"user@example.com").is_err());
/// # Ok::<(), weir_policy::InvalidAuthority>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host.
    pub host: Host<'a>,
    /// The port; `None` where the authority has none.
    pub port: Option<u16>,
}

/// What stands before the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A domain name of letters, digits, `-` and `_`, as the client wrote it but for one trailing dot.
    Name(Name<'a>),
    /// An address literal: a dotted quad, or IPv6 in brackets. An IPv4-mapped IPv6 address is the
    /// IPv4 address that it stands for (RFC 4291 section 2.5.5.2).
    Address(IpAddr),
    /// A host whose last label is a number but which is no valid literal: `0x7f.1`, `2130706433`,
    /// `010.0.0.1`, `192.0.2.7.`. Resolvers disagree about the address that it means, so it is never looked up.
    Numeric(Name<'a>),
}

/// A name in lower case, or an address as RFC 5952 and an authority write it: in brackets if it is IPv6.
impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) | Host::Numeric(name) => f.write_str(&name.as_str().to_ascii_lowercase()),
            Host::Address(IpAddr::V4(address)) => address.fmt(f),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Labels that were checked: 1 to 63 letters, digits, `-` and `_` each, 253 bytes in all, in the
/// client's own case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// The bytes, which are ASCII.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The same as text.
    pub fn as_str(self) -> &'a str {
        std::str::from_utf8(self.0).unwrap_or_default()
    }
}

/// The authority is not a host with an optional port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAuthority;

impl fmt::Display for InvalidAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the authority is not a host with an optional port")
    }
}

impl std::error::Error for InvalidAuthority {}

impl<'a> Authority<'a> {
    /// Reads the bytes of `:authority`.
    ///
    /// # Errors
    /// Anything but `host` or `host:port`, with a host of labels (1 to 63 bytes of letters, digits,
    /// `-` and `_`; 253 in all; one trailing dot apart) or an address literal, and a port from 1 to
    /// 65535 without sign or leading zero.
    #[inline]
    pub fn parse(authority: &'a [u8]) -> Result<Authority<'a>, InvalidAuthority> {
        if authority.first() == Some(&b'[') {
            return parse_bracketed(authority);
        }
        let (name, port) = split_port(authority)?;
        let written = name;
        let name = Name(written.strip_suffix(b".").unwrap_or(written));
        if !labels::are_valid(name.0) {
            return Err(InvalidAuthority);
        }
        let host = if ends_in_number(name.0) {
            // A dotted quad has no trailing dot (RFC 3986 section 3.2.2), though many would ignore it.
            let quad = std::str::from_utf8(written).ok().and_then(|text| text.parse::<Ipv4Addr>().ok());
            quad.map_or(Host::Numeric(name), |address| Host::Address(address.into()))
        } else {
            Host::Name(name)
        };
        Ok(Authority { host, port })
    }
}

/// Cuts a port off, where there is a colon within the last six bytes. One further in belongs to no
/// port, and no label may hold it.
fn split_port(authority: &[u8]) -> Result<(&[u8], Option<u16>), InvalidAuthority> {
    // Hosts without a port are the many, and most end in no digit.
    if !authority.last().is_some_and(u8::is_ascii_digit) {
        return Ok((authority, None));
    }
    let digits = authority.iter().rev().take(6).take_while(|byte| byte.is_ascii_digit()).count();
    match authority.len().checked_sub(digits + 1).and_then(|colon| authority.split_at_checked(colon)) {
        Some((name, port)) if port.first() == Some(&b':') => Ok((name, parse_port(port)?)),
        _ => Ok((authority, None)),
    }
}

/// `[address]` with an optional port (RFC 3986 section 3.2.2). Zone identifiers and future versions
/// of addresses are refused.
fn parse_bracketed(authority: &[u8]) -> Result<Authority<'_>, InvalidAuthority> {
    let close = authority.iter().position(|&byte| byte == b']').ok_or(InvalidAuthority)?;
    let literal = authority.get(1..close).ok_or(InvalidAuthority)?;
    let after = authority.get(close + 1..).ok_or(InvalidAuthority)?;
    let literal = std::str::from_utf8(literal).map_err(|_| InvalidAuthority)?;
    let address: Ipv6Addr = literal.parse().map_err(|_| InvalidAuthority)?;
    Ok(Authority { host: Host::Address(IpAddr::V6(address).to_canonical()), port: parse_port(after)? })
}

/// Nothing, or `:` and a port.
fn parse_port(text: &[u8]) -> Result<Option<u16>, InvalidAuthority> {
    let Some((colon, digits)) = text.split_first() else { return Ok(None) };
    if *colon != b':' || digits.is_empty() || digits.len() > 5 || digits.first() == Some(&b'0') {
        return Err(InvalidAuthority);
    }
    let mut port = 0_u32;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return Err(InvalidAuthority);
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    u16::try_from(port).map(Some).map_err(|_| InvalidAuthority)
}

/// Whether the last label of `name` is a number.
fn ends_in_number(name: &[u8]) -> bool {
    // Most names show by their last byte that it is not.
    if name.last().is_none_or(|&byte| !byte.is_ascii_hexdigit() && byte | 0x20 != b'x') {
        return false;
    }
    let start = name.iter().rposition(|&byte| byte == b'.').map_or(0, |dot| dot + 1);
    name.get(start..).is_some_and(is_number)
}

/// Whether a last label makes its host an address for those who read addresses loosely: digits
/// alone, or hexadecimal digits after `0x` (the WHATWG URL standard's "ends in a number").
pub(crate) fn is_number(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        [] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}
