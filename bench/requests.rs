//! The requests and policies of the request benchmarks, shared so that two of them measure the same.

/// The preset with restricted methods.
pub const READ_ONLY: &[u8] =
    br#"{"internet_access": "on", "allowlist": {"preset": "common-dependencies"}, "methods": "read-only"}"#;
/// The preset alone: restricted methods would refuse every tunnel.
pub const PRESET: &[u8] = br#"{"internet_access": "on", "allowlist": {"preset": "common-dependencies"}}"#;
/// Ten headers, as a package manager sends them.
pub const ALLOWED: &[u8] = b"GET /simple/requests/ HTTP/1.1\r\nhost: pypi.org\r\nuser-agent: pip/23.2.1\r\n\
    accept: application/vnd.pypi.simple.v1+json, text/html; q=0.1\r\naccept-encoding: gzip, deflate\r\n\
    cache-control: max-age=0\r\nconnection: keep-alive\r\nif-none-match: \"abcdef0123456789\"\r\nx-one: 1\r\n\
    x-two: 2\r\nx-three: 3\r\n\r\n";
/// A request to a host that is not in the preset.
pub const REFUSED: &[u8] = b"GET /simple/requests/ HTTP/1.1\r\nhost: evil.example\r\nuser-agent: pip/23.2.1\r\n\r\n";
