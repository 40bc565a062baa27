//! What one start changes in a shipped file.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::ecds::Configuration;

/// How the plugin gets into Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// By ECDS from the file at this path: the shipped way, and the policy can be changed while Envoy runs.
    Discovered(PathBuf),
    /// Written into the filter chain: Envoy refuses to start with a policy that has a mistake.
    Static {
        /// The module.
        wasm: PathBuf,
        /// The policy.
        configuration: Configuration,
    },
    /// No plugin at all: what the benchmarks compare with.
    Absent,
}

/// What one start changes in the shipped file.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Where the proxy listens.
    pub listen: SocketAddr,
    /// Where the admin interface listens.
    pub admin: SocketAddr,
    /// How the plugin gets in.
    pub filter: Filter,
    /// Every request is sent to this address instead of where its name resolves to.
    pub stand_in: Option<SocketAddr>,
    /// Networks that may be reached although they are private.
    pub allow_upstream: Vec<IpNet>,
    /// Certificate chain and key (PEM files): the listener speaks TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Ends a tunnel earlier than the shipped half hour.
    pub tunnel_lifetime: Option<std::time::Duration>,
    /// What `inspecting-proxy.yaml` is started with.
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

/// What TLS inspection needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The Unix socket of the issuer.
    pub issuer: PathBuf,
    /// What the certificates of origins are checked against (PEM); the system's own unless told.
    pub origin_roots: Option<PathBuf>,
}
