//! Which names get a certificate.
//!
//! The plugin decides which hosts a client may reach. This check is narrower and independent of it: the issuer signs
//! only a plain host name for any requester, never a wildcard, an address, or bytes that a client could read in two
//! ways.

use std::fmt;
use std::sync::Arc;

/// The longest name (RFC 1035 2.3.4, without the root's empty label).
const LONGEST_NAME: usize = 253;
/// The longest label (RFC 1035 2.3.4).
const LONGEST_LABEL: usize = 63;

/// A host name in lower case: labels of 1 to 63 letters, digits, `-` and `_`, no `-` at either end, the last one not
/// all digits, 253 bytes at most, no dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

/// Why a name gets no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It is longer than 253 bytes, or a label is longer than 63.
    TooLong,
    /// It begins or ends with a dot, or has two in a row.
    EmptyLabel,
    /// It contains `*`.
    Wildcard,
    /// It is an address, or could be parsed as one because its last label is a number.
    Address,
    /// It contains `A` to `Z`.
    UpperCase,
    /// It contains any other byte that a host name cannot have.
    Character,
    /// A label begins or ends with `-`.
    Hyphen,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty name",
            Self::TooLong => "longer than 253 bytes, or with a label of more than 63",
            Self::EmptyLabel => "with an empty label (a dot too many)",
            Self::Wildcard => "a wildcard; certificates are made for single names",
            Self::Address => "an address, or a number where a top-level domain should be",
            Self::UpperCase => "in upper case",
            Self::Character => "with a byte that a host name does not have",
            Self::Hyphen => "with a hyphen at the beginning or end of a label",
        })
    }
}

impl std::error::Error for NameError {}

impl HostName {
    /// Accepts a name as it is, without normalising it.
    ///
    /// # Errors
    /// The first reason found.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > LONGEST_NAME {
            return Err(NameError::TooLong);
        }
        let mut last = "";
        for label in name.split('.') {
            check(label)?;
            last = label;
        }
        // 10.0.0.1, but also 0x7f.1 and 127.1: what the WHATWG URL standard parses as an IPv4 address.
        let hex = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if hex || last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NameError::Address);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `domain` or a subdomain of it.
    pub(crate) fn is_within(&self, domain: &str) -> bool {
        self.0.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

fn check(label: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    if label.len() > LONGEST_LABEL {
        return Err(NameError::TooLong);
    }
    for byte in label.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'A'..=b'Z' => return Err(NameError::UpperCase),
            b'*' => return Err(NameError::Wildcard),
            b':' | b'[' | b']' => return Err(NameError::Address),
            _ => return Err(NameError::Character),
        }
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::Hyphen);
    }
    Ok(())
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_accepted_as_they_are() {
        let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert_eq!(long.len(), 253);
        for name in
            ["a", "example.com", "xn--bcher-kva.example", "_dmarc.example.com", "1.example", "a.b1", "0xyz", &long]
        {
            assert_eq!(HostName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let label = "a".repeat(64);
        let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(62));
        for (name, reason) in [
            ("", NameError::Empty),
            (".", NameError::EmptyLabel),
            ("example.com.", NameError::EmptyLabel),
            (".example.com", NameError::EmptyLabel),
            ("a..b", NameError::EmptyLabel),
            ("*", NameError::Wildcard),
            ("*.example.com", NameError::Wildcard),
            ("10.0.0.1", NameError::Address),
            ("127.1", NameError::Address),
            ("2130706433", NameError::Address),
            ("0x7f.0x1", NameError::Address),
            ("a.0x", NameError::Address),
            ("example.1", NameError::Address),
            ("::1", NameError::Address),
            ("[::1]", NameError::Address),
            ("example.com:443", NameError::Address),
            ("Example.com", NameError::UpperCase),
            ("a b", NameError::Character),
            ("a\0.example", NameError::Character),
            ("a/b", NameError::Character),
            ("b\u{fc}cher.example", NameError::Character),
            ("a\u{212a}.example", NameError::Character),
            ("-a.example", NameError::Hyphen),
            ("a-.example", NameError::Hyphen),
            (&label, NameError::TooLong),
            (&long, NameError::TooLong),
        ] {
            assert_eq!(HostName::parse(name), Err(reason), "{name:?}");
        }
    }

    #[test]
    fn a_domain_includes_its_subdomains() {
        let name = |text| HostName::parse(text).unwrap();
        assert!(name("example.com").is_within("example.com"));
        assert!(name("a.b.example.com").is_within("example.com"));
        assert!(!name("evilexample.com").is_within("example.com"));
        assert!(!name("com").is_within("example.com"));
    }
}
