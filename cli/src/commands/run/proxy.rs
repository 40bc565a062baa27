//! The proxy of one command: an Envoy with a policy and, where TLS is inspected, the CA that its certificates come from.
//!
//! Both are made for this run and gone with it. The key of the CA never leaves this process.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;

use ipnet::IpNet;
use weir_envoy::{Binary, Launch, Line, Plugin, Running};
use weir_policy::Tls;

use super::bundle;
use super::environment::Trust;
use crate::proxy;
use crate::proxy::error::Error;
use crate::proxy::inspection::Inspection;

/// What every proxy of a run is made of.
pub(crate) struct Parts {
    plugin: Plugin,
    binary: Binary,
    allow_upstream: Vec<IpNet>,
    roots: Option<PathBuf>,
}

impl Parts {
    /// Finds or fetches them, which may take long the first time.
    pub(crate) fn find(allow_upstream: &[IpNet], roots: Option<PathBuf>) -> Result<Parts, Error> {
        Ok(Parts {
            plugin: proxy::plugin()?,
            binary: Binary::find()?,
            allow_upstream: allow_upstream.to_vec(),
            roots: roots.or_else(weir_envoy::system_roots),
        })
    }

    /// What Envoy and the plugin are now.
    ///
    /// # Errors
    /// One of them is gone.
    pub(crate) fn state(&self) -> io::Result<State> {
        let envoy = fs::metadata(self.binary.path())?;
        Ok(State {
            envoy: (envoy.dev(), envoy.ino(), envoy.ctime(), envoy.ctime_nsec()),
            plugin: self.plugin.path().map(fs::read).transpose()?,
        })
    }

    /// The private networks that may be reached all the same.
    pub(crate) fn allow_upstream(&self) -> &[IpNet] {
        &self.allow_upstream
    }
}

/// What the files were that a proxy is made of. Envoy is large and told by the time of its last change, which the kernel alone
/// sets; the plugin, which a build may put in place again, by its content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    envoy: (u64, u64, i64, i64),
    plugin: Option<Vec<u8>>,
}

/// A proxy that runs.
pub(crate) struct Proxy {
    envoy: Running,
    inspected: Option<Inspected>,
}

/// What looks into TLS for this command, and what it has to trust for that.
struct Inspected {
    trust: Trust,
    inspection: Inspection,
}

impl Inspected {
    /// Starts Envoy with `launch`, and writes what the command has to trust while it starts.
    fn start(launch: Launch, roots: &Path) -> Result<(Running, Inspected), Error> {
        let inspection = Inspection::for_this_run()?;
        let open = inspection.folder().join("trust");
        let write = || {
            fs::create_dir(&open)?;
            bundle::write(&open, roots, inspection.certificate_pem())
        };
        let launch = inspection.of_launch(launch).origin_roots(roots);
        let (envoy, trust) = thread::scope(|scope| {
            let written = scope.spawn(write);
            let envoy = launch.start();
            (envoy, written.join().unwrap_or_else(|_| Err(io::Error::other("they were not written"))))
        });
        let trust = trust.map_err(Error::files("writing the CA bundle of this run"))?;
        Ok((envoy?, Inspected { trust, inspection }))
    }
}

impl Proxy {
    /// Starts it with a policy; `on_line` gets each line of its logs.
    pub(crate) fn start(
        parts: &Parts,
        policy: &[u8],
        tls: Tls,
        on_line: impl Fn(&Line<'_>) + Send + Sync + 'static,
    ) -> Result<Proxy, Error> {
        let launch = Launch::new(parts.plugin.clone()).binary(parts.binary.clone()).policy(policy).on_line(on_line);
        let launch = parts.allow_upstream.iter().fold(launch, |launch, network| launch.allow_upstream(*network));
        match (tls, &parts.roots) {
            (Tls::Passthrough, _) => Ok(Proxy { envoy: launch.start()?, inspected: None }),
            (Tls::Inspected, None) => Err(Error::NoRoots),
            (Tls::Inspected, Some(roots)) => {
                let (envoy, inspected) = Inspected::start(launch, roots)?;
                Ok(Proxy { envoy, inspected: Some(inspected) })
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.envoy.address()
    }

    /// What the command has to trust, where TLS is inspected.
    pub(crate) fn trust(&self) -> Option<&Trust> {
        self.inspected.as_ref().map(|inspected| &inspected.trust)
    }

    /// Folders that an isolated command must not see: whoever can write them can change the policy or sign certificates.
    pub(crate) fn hidden(&self) -> Vec<PathBuf> {
        let secret = self.inspected.iter().map(|inspected| inspected.inspection.secret().to_owned());
        std::iter::once(self.envoy.folder().to_owned()).chain(secret).collect()
    }

    /// Whether Envoy still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.envoy.is_alive()
    }

    /// How Envoy ended.
    pub(crate) fn death(&mut self) -> String {
        self.envoy.wait().map_or_else(|error| error.to_string(), by_itself)
    }

    /// Stops it; everything that it had to tell has been told then. Where Envoy was not stopped but had ended, says how.
    pub(crate) fn stop(self) -> Option<String> {
        self.envoy.stop().map(by_itself)
    }
}

fn by_itself(status: ExitStatus) -> String {
    format!("Envoy ended by itself ({status})")
}
