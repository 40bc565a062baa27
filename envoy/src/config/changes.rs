//! What one launch changes in a shipped file.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::ecds::Configuration;

/// How Envoy loads the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// By ECDS from the file at this path, as shipped: the policy can change while Envoy runs.
    Discovered(PathBuf),
    /// Inline in the filter chain: Envoy refuses to start with an invalid policy.
    Static {
        /// The module.
        wasm: PathBuf,
        /// The policy.
        configuration: Configuration,
    },
    /// No plugin: the baseline of the benchmarks.
    Absent,
}

/// The changes of one launch.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Where the proxy listens.
    pub listen: SocketAddr,
    /// Where the admin interface listens.
    pub admin: SocketAddr,
    /// How Envoy loads the plugin.
    pub filter: Filter,
    /// Envoy connects to this address instead of the one that the name resolves to.
    pub stand_in: Option<SocketAddr>,
    /// Private networks that Envoy may connect to.
    pub allow_upstream: Vec<IpNet>,
    /// Certificate chain and key (PEM files): the listener speaks TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Closes a tunnel after this time instead of the shipped half hour.
    pub tunnel_lifetime: Option<std::time::Duration>,
    /// The settings of `inspecting-proxy.yaml`; none starts `forward-proxy.yaml`.
    pub inspection: Option<Inspection>,
    /// Envoy before 1.39 has no `resolved_address_filter`; without it only the RBAC filter guards the first address.
    pub resolved_address_filter: bool,
}

impl Default for Changes {
    fn default() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: loopback,
            admin: loopback,
            filter: Filter::Discovered("/etc/envoy/filter.yaml".into()),
            stand_in: None,
            allow_upstream: Vec::new(),
            tls: None,
            tunnel_lifetime: None,
            inspection: None,
            resolved_address_filter: true,
        }
    }
}

/// The settings of TLS inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The Unix socket of the issuer.
    pub issuer: PathBuf,
    /// The roots that verify origin certificates (PEM); the system's by default.
    pub origin_roots: Option<PathBuf>,
}
