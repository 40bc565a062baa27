//! Paths: prefixes that a rule allows, and the one form in which a request's path is compared.
//!
//! Origins differ in how they read an odd path. A path that two of them could read differently has
//! no normal form here and is refused wherever paths matter.

use std::borrow::Cow;

/// A prefix on segment boundaries, in normal form: `/v1` covers `/v1` and `/v1/x` but not `/v10`;
/// `/v1/` covers `/v1/x` but not `/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Reads a prefix of a rule.
    ///
    /// # Errors
    /// Anything but an absolute path in normal form, without query and without the star that would
    /// be a wildcard elsewhere: with the prefix that may have been meant.
    pub(crate) fn parse(text: &str) -> Result<PathPrefix, Option<String>> {
        let plain = text.split(['?', '#', '*']).next().unwrap_or_default();
        let normal = normalize(plain.as_bytes()).and_then(|normal| String::from_utf8(normal.into_owned()).ok());
        if normal.as_deref() == Some(text) { Ok(PathPrefix(text.to_owned())) } else { Err(normal) }
    }

    /// The prefix as the policy writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a path in normal form lies at or below this prefix.
    pub(crate) fn covers(&self, normal: &[u8]) -> bool {
        normal
            .strip_prefix(self.0.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/') || self.0.ends_with('/'))
    }
}

/// The path of `:path` in normal form, without query: unreserved characters decoded, dot segments
/// and empty segments taken out (RFC 3986 section 6.2.2). Borrowed where it is normal already.
///
/// `None` where origins could disagree: not absolute, bytes outside printable ASCII, a backslash,
/// an encoded slash, backslash or control byte, encoded bytes that are not UTF-8, a malformed or
/// doubled encoding, a dot segment with parameters (`..;x`), or a fragment.
pub(crate) fn normalize(target: &[u8]) -> Option<Cow<'_, [u8]>> {
    let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    let path = target.get(..end)?;
    if path.first() != Some(&b'/') || !path.iter().all(|&byte| is_plain(byte) || byte == b'%') {
        return None;
    }
    let decoded = decode(path)?;
    if is_normal(&decoded) {
        return Some(decoded);
    }
    remove_segments(&decoded).map(Cow::Owned)
}

/// Printable ASCII but for what a path cannot hold.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'%')
}

/// Decodes the encoded bytes that mean the same when decoded; keeps the others, in upper case.
fn decode(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !path.contains(&b'%') {
        return Some(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            bytes.push(byte);
            continue;
        }
        let (&high, after) = rest.split_first()?;
        let (&low, after) = after.split_first()?;
        rest = after;
        let value = hex(high)? << 4 | hex(low)?;
        bytes.push(value);
        if value == b'%' {
            // Decoded a second time, what follows could become a dot or a slash.
            if let Some([high, low]) = rest.get(..2)
                && hex(*high).is_some()
                && hex(*low).is_some()
            {
                return None;
            }
        }
        if value.is_ascii_alphanumeric() || matches!(value, b'-' | b'.' | b'_' | b'~') {
            decoded.push(value);
        } else if is_plain(value) && value != b'/' || matches!(value, b' ' | b'%' | b'#') || value >= 0x80 {
            decoded.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
        } else {
            return None;
        }
    }
    // UTF-8 means one thing; what is not UTF-8 (an overlong slash, say) may mean several.
    std::str::from_utf8(&bytes).ok()?;
    Some(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Whether no segment but the last is empty and none is a dot segment.
fn is_normal(path: &[u8]) -> bool {
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if is_dots(segment) || segment.is_empty() && segments.peek().is_some() {
            return false;
        }
    }
    true
}

/// `.`, `..`, and both with the parameters that some origins cut off before they look.
fn is_dots(segment: &[u8]) -> bool {
    let name = segment.split(|&byte| byte == b';').next().unwrap_or(segment);
    matches!(name, b"." | b"..")
}

/// Takes empty and dot segments out (RFC 3986 section 5.2.4); `None` for a dot segment with parameters.
fn remove_segments(path: &[u8]) -> Option<Vec<u8>> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    let mut directory = false;
    while let Some(segment) = segments.next() {
        directory = segments.peek().is_none() && (segment.is_empty() || is_dots(segment));
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            parameters if is_dots(parameters) => return None,
            plain => kept.push(plain),
        }
    }
    let mut normal = Vec::with_capacity(path.len());
    for segment in kept {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    if directory || normal.is_empty() {
        normal.push(b'/');
    }
    Some(normal)
}
