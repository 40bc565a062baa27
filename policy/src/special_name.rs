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
pub(crate) fn is_special(name: &[u8]) -> bool {
    let ends_in = |suffix: &&str| {
        let Some(cut) = name.len().checked_sub(suffix.len()) else { return false };
        let (above, end) = name.split_at(cut);
        end.eq_ignore_ascii_case(suffix.as_bytes()) && above.last().is_none_or(|&byte| byte == b'.')
    };
    SUFFIXES.iter().any(ends_in) || NAMES.iter().any(|special| name.eq_ignore_ascii_case(special.as_bytes()))
}
