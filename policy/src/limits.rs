//! What may be done at a host that is allowed: methods, ports, paths, and whether Envoy inspects TLS there.

use crate::method::Methods;
use crate::path::PathPrefix;
use crate::words::words;

/// What may be done at a host that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The methods.
    pub methods: Methods,
    /// The ports.
    pub ports: Ports,
    /// The prefixes that a path must have one of; `None` allows every path.
    pub paths: Option<Vec<PathPrefix>>,
    /// `git-fetch`: what `git clone` and `git fetch` send is allowed beside `methods`.
    pub git_fetch: bool,
    /// Whether Envoy inspects TLS there.
    pub tls: Tls,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            methods: Methods::All,
            ports: Ports::Only(DEFAULT_PORTS.to_vec()),
            paths: None,
            git_fetch: false,
            tls: Tls::Passthrough,
        }
    }
}

impl Limits {
    /// Whether they restrict what a tunnel would hide.
    pub fn concern_the_inside(&self) -> bool {
        self.methods.are_restricted() || self.paths.is_some()
    }

    /// Whether they refuse every tunnel: they restrict what it would hide, and it is not inspected.
    pub fn refuse_tunnels(&self) -> bool {
        self.concern_the_inside() && self.tls == Tls::Passthrough
    }
}

/// The ports of a policy that names none.
pub(crate) const DEFAULT_PORTS: &[u16] = &[80, 443];

/// The ports that a policy or a rule allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every port.
    Any,
    /// These alone.
    Only(Vec<u16>),
}

impl Ports {
    /// Whether `port` is allowed.
    pub fn allow(&self, port: u16) -> bool {
        match self {
            Ports::Any => true,
            Ports::Only(ports) => ports.contains(&port),
        }
    }
}

words! {
    /// Whether Envoy inspects TLS.
    pub enum Tls {
        /// Envoy forwards TLS as it is.
        Passthrough = "passthrough",
        /// Envoy terminates TLS, and each request inside is decided too.
        Inspected = "inspected",
    }
}
