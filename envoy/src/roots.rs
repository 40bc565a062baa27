//! Where this machine keeps its trusted root certificates.

use std::env;
use std::path::PathBuf;

/// Debian and Alpine, Fedora and RHEL, `openSUSE`, RHEL's generated file, `macOS` and old Alpine, `FreeBSD`.
pub(crate) const PLACES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// The file with the trusted roots: the one that `SSL_CERT_FILE` names (such as a company's own), or else the system's.
pub fn system_roots() -> Option<PathBuf> {
    let named = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named
        .map(|path| std::path::absolute(&path).unwrap_or(path))
        .into_iter()
        .chain(PLACES.iter().map(PathBuf::from))
        .find(|path| path.is_file())
}
