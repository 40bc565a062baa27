//! One domain entry of a policy or a preset: what it covers, and what it is refused for.
//!
//! The build script compiles this file too, so that a preset line which a policy could not hold
//! fails the build.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::authority::is_number;
use crate::labels::{MAX_LABEL, MAX_NAME, is_label_byte};

/// An entry that was accepted.
///
/// ```
/// use weir_policy::Pattern;
///
/// let wide = Pattern::parse("*.Example.com")?;
/// assert!(wide.covers(&Pattern::parse("=api.example.com")?));
/// assert!(!wide.covers(&Pattern::parse("=example.com")?));
///
/// let refused = Pattern::parse("https://example.com").unwrap_err();
/// assert_eq!(refused.to_string(), r#""https://example.com" holds a scheme; write the host alone: "example.com""#);
/// # Ok::<(), weir_policy::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// A domain name, in lower case and without a trailing dot.
    Domain {
        /// The name.
        name: String,
        /// Which names at and below it are meant.
        covers: Covers,
    },
    /// One address.
    Address(IpAddr),
}

/// Which names a domain entry covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Covers {
    /// `=example.com`: the name alone.
    Apex,
    /// `*.example.com`: every name below it, at any depth.
    Subdomains,
    /// `example.com`, `**.example.com`: the name and every name below it.
    Both,
}

impl Pattern {
    /// Reads one entry.
    ///
    /// # Errors
    /// Anything but the forms of [`Covers`] and address literals. The error's `Display`
    /// quotes the entry and says what to write instead.
    pub fn parse(entry: &str) -> Result<Pattern, PatternError> {
        parse(entry).map_err(|problem| PatternError { entry: entry.to_owned(), problem })
    }

    /// Whether every host that `other` covers is covered by this entry too.
    pub fn covers(&self, other: &Pattern) -> bool {
        let (Pattern::Domain { name, covers }, Pattern::Domain { name: below, covers: others }) = (self, other) else {
            return self == other;
        };
        if name == below {
            return *covers == Covers::Both || covers == others;
        }
        *covers != Covers::Apex && below.strip_suffix(name.as_str()).is_some_and(|above| above.ends_with('.'))
    }
}

fn parse(entry: &str) -> Result<Pattern, PatternProblem> {
    use PatternProblem as P;
    if entry.is_empty() {
        return Err(P::Empty);
    }
    if entry.trim() != entry {
        return Err(P::Whitespace { instead: entry.trim().to_owned() });
    }
    if matches!(entry, "*" | "**" | "*.*" | "." | "*." | "**.") {
        return Err(P::Everything);
    }
    if let Some(address) = parse_address(entry) {
        return Ok(Pattern::Address(address.to_canonical()));
    }
    refuse_url_parts(entry)?;
    let (covers, name) = if let Some(name) = entry.strip_prefix('=') {
        (Covers::Apex, name)
    } else if let Some(name) = entry.strip_prefix("**.") {
        (Covers::Both, name)
    } else if let Some(name) = entry.strip_prefix("*.") {
        (Covers::Subdomains, name)
    } else {
        (Covers::Both, entry)
    };
    if covers != Covers::Both || name != entry {
        if name.contains(['*', '=']) {
            return Err(P::Wildcard);
        }
        if parse_address(name).is_some() {
            return Err(P::AddressPrefix { instead: name.to_owned() });
        }
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    check_name(name)?;
    if !name.contains('.') && covers != Covers::Apex {
        return Err(P::SingleLabel { label: name.to_ascii_lowercase() });
    }
    Ok(Pattern::Domain { name: name.to_ascii_lowercase(), covers })
}

/// A dotted quad, or IPv6 with or without brackets.
fn parse_address(entry: &str) -> Option<IpAddr> {
    if let Ok(v4) = entry.parse::<Ipv4Addr>() {
        return Some(v4.into());
    }
    let literal = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    literal.parse::<Ipv6Addr>().ok().map(IpAddr::from)
}

/// Refuses what belongs to a URL and not to a domain, with the part that could stay.
fn refuse_url_parts(entry: &str) -> Result<(), PatternProblem> {
    use PatternProblem as P;
    let after_scheme = entry.split_once(':').map_or(entry, |(_, rest)| rest);
    if let Some(rest) = after_scheme.strip_prefix("//").or_else(|| entry.strip_prefix("//")) {
        let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let host = host.rsplit('@').next().unwrap_or(host);
        return Err(P::Scheme { instead: host.to_owned() });
    }
    if let Some((address, bits)) = entry.split_once('/') {
        if parse_address(address).is_some() && bits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(P::AddressRange);
        }
        return Err(P::Path { domain: address.to_owned(), path: format!("/{bits}") });
    }
    if entry.contains(['?', '#']) {
        let domain = entry.split(['?', '#']).next().unwrap_or_default();
        return Err(P::Query { instead: domain.to_owned() });
    }
    if let Some((_, host)) = entry.rsplit_once('@') {
        return Err(P::UserInfo { instead: host.to_owned() });
    }
    if entry.starts_with('[') || entry.matches(':').count() > 1 {
        return Err(match entry.rsplit_once(':') {
            Some((address, port)) if address.ends_with(']') => {
                P::Port { domain: address.to_owned(), port: port.to_owned() }
            }
            _ => P::BadAddress,
        });
    }
    if let Some((domain, port)) = entry.split_once(':') {
        return Err(P::Port { domain: domain.to_owned(), port: port.to_owned() });
    }
    Ok(())
}

/// Checks a name without prefix and trailing dot.
fn check_name(name: &str) -> Result<(), PatternProblem> {
    use PatternProblem as P;
    if name.is_empty() {
        return Err(P::Empty);
    }
    if !name.is_ascii() {
        return Err(P::NotAscii);
    }
    if name.contains('*') {
        return Err(P::Wildcard);
    }
    if let Some(bad) = name.bytes().find(|&byte| !is_label_byte(byte) && byte != b'.') {
        return Err(P::Character { found: bad });
    }
    if name.len() > MAX_NAME {
        return Err(P::LongName { bytes: name.len() });
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(P::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(P::LongLabel { bytes: label.len() });
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(P::Hyphen { label: label.to_owned() });
        }
    }
    if name.rsplit('.').next().is_some_and(|last| is_number(last.as_bytes())) {
        return Err(P::Numeric);
    }
    Ok(())
}

/// An entry that was refused. Its `Display` quotes the entry and says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// The entry as it was written.
    pub entry: String,
    /// What is wrong with it.
    pub problem: PatternProblem,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each variant is described by its message below; the build script does not look for docs"
)]
pub enum PatternProblem {
    Empty,
    Whitespace { instead: String },
    Everything,
    SingleLabel { label: String },
    Wildcard,
    Scheme { instead: String },
    UserInfo { instead: String },
    Path { domain: String, path: String },
    Query { instead: String },
    Port { domain: String, port: String },
    AddressRange,
    AddressPrefix { instead: String },
    BadAddress,
    Numeric,
    NotAscii,
    Character { found: u8 },
    EmptyLabel,
    LongLabel { bytes: usize },
    LongName { bytes: usize },
    Hyphen { label: String },
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Quoted(&self.entry), self.problem)
    }
}

impl std::error::Error for PatternError {}

impl fmt::Display for PatternProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("names nothing; write a domain such as \"example.com\""),
            Self::Whitespace { instead } => write!(f, "has white space around it; write {}", Quoted(instead)),
            Self::Everything => f.write_str("would open everything; if that is meant, write \"preset\": \"all\""),
            Self::SingleLabel { label } => write!(
                f,
                "would open a whole public suffix; name the domains below it, or write \"={label}\" if a single host \
                of this name is meant"
            ),
            Self::Wildcard => f.write_str(
                "has a wildcard that is not a whole leading label; write \"*.example.com\" for the subdomains, \
                \"example.com\" for the domain with them, or \"=example.com\" for the domain alone",
            ),
            Self::Scheme { instead } => write!(f, "holds a scheme; write the host alone: {}", Quoted(instead)),
            Self::UserInfo { instead } => {
                write!(f, "holds user information; write the host alone: {}", Quoted(instead))
            }
            Self::Path { domain, path } => write!(
                f,
                "holds a path; write a rule: {{\"domain\": {}, \"paths\": [{}]}}",
                Quoted(domain),
                Quoted(path)
            ),
            Self::Query { instead } => {
                write!(f, "holds a query or a fragment; write the host alone: {}", Quoted(instead))
            }
            Self::Port { domain, port } => {
                if port.parse::<u16>().is_ok() {
                    write!(f, "holds a port; write a rule: {{\"domain\": {}, \"ports\": [{port}]}}", Quoted(domain))
                } else {
                    write!(f, "holds a colon; write the host alone: {}", Quoted(domain))
                }
            }
            Self::AddressRange => f.write_str("is a range of addresses; an entry covers one address: list each"),
            Self::AddressPrefix { instead } => {
                write!(f, "puts a prefix before an address; an address covers itself alone: write {}", Quoted(instead))
            }
            Self::BadAddress => f.write_str(
                "is not an address; write IPv4 as four decimal numbers (\"192.0.2.7\") and IPv6 as \"2001:db8::7\", \
                without zone or prefix",
            ),
            Self::Numeric => f.write_str(
                "ends in a number, as an address does, but is not a dotted quad; write an address as four decimal \
                numbers without leading zeros, such as \"192.0.2.7\"",
            ),
            Self::NotAscii => {
                f.write_str("holds characters beyond ASCII; write the name's A-label (xn--...): `weir check` prints it")
            }
            Self::Character { found } => write!(
                f,
                "holds {}; a domain is made of letters, digits, '-', '_' and dots",
                Quoted(&char::from(*found).to_string())
            ),
            Self::EmptyLabel => {
                f.write_str("has an empty label; write one dot between two labels and none before the first")
            }
            Self::LongLabel { bytes } => write!(f, "has a label of {bytes} bytes; a label has at most {MAX_LABEL}"),
            Self::LongName { bytes } => write!(f, "has {bytes} bytes; a name has at most {MAX_NAME}"),
            Self::Hyphen { label } => {
                write!(f, "has the label {}; a label neither begins nor ends with '-'", Quoted(label))
            }
        }
    }
}

/// Text from a policy, quoted for a message: one line, no control characters, bounded.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

/// How much of a quoted text a message shows, in characters.
const SHOWN: usize = 80;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars().take(SHOWN) {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
                plain => write!(f, "{plain}")?,
            }
        }
        f.write_str(if self.0.chars().nth(SHOWN).is_some() { "...\"" } else { "\"" })
    }
}
