//! Names that mean this machine, this network or a cloud's metadata service. They stay refused
//! unless the policy lists them itself, with the preset `all` too.

/// Suffixes that mean something local, whole or as the end of a name: RFC 6761 (`localhost`),
/// RFC 6762 (`local`), ICANN's reserved `internal`, and what `/etc/hosts` files add.
const SUFFIXES: &[&str] = &["localhost", "local", "internal", "localdomain"];

/// Names that resolve to this machine or to a service that hands out its credentials.
const NAMES: &[&str] = &[
    "ip6-localhost",
    "ip6-loopback",
    "localhost4",
    "localhost6",
    "instance-data",
    "metadata",
    "metadata.goog",
    "metadata.tencentyun.com",
    "metadata.platformequinix.com",
    "metadata.packet.net",
];

/// Whether `name`, without a trailing dot, is special.
pub(crate) fn is_special(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    SUFFIXES.iter().any(|suffix| last.eq_ignore_ascii_case(suffix))
        || NAMES.iter().any(|special| name.eq_ignore_ascii_case(special))
}
