//! Why there is no proxy.

use std::io;

/// Why a proxy did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Envoy or the plugin.
    #[error(transparent)]
    Envoy(#[from] weir_envoy::Error),
    /// The certificate authority or the issuer.
    #[error(transparent)]
    Issuer(#[from] weir_issuer::Error),
    /// The private files of this proxy.
    #[error("{tried} failed: {source}")]
    Files {
        /// What was tried.
        tried: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// TLS is to be inspected, and no CA certificates say which origins to trust.
    #[error("this system's CA certificates are at none of the usual places; name them with --roots or SSL_CERT_FILE")]
    NoRoots,
}

impl Error {
    /// A file could not be handled while `tried` was done.
    pub(crate) fn files(tried: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Files { tried, source }
    }

    /// Whether the policy is at fault, not the machine.
    pub(crate) fn is_mistake(&self) -> bool {
        matches!(self, Error::Envoy(weir_envoy::Error::PolicyRefused(_)))
    }
}
