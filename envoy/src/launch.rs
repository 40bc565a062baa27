//! Starts Envoy with the shipped configuration.
//!
//! All its files are in a private folder, and the system chooses every port that is not set. It must never report a
//! proxy as started that has not loaded the plugin.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ipnet::IpNet;

use crate::binary::Binary;
use crate::config::{self, Changes, Filter, Inspection};
use crate::ecds::{self, Configuration};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::logs::{self, Line, Listener, Logs};
use crate::plugin::Plugin;
use crate::release::{OLDEST, OLDEST_INSPECTING};
use crate::running::{Files, Running};
use crate::spawn;

/// The module in the private folder.
const MODULE: &str = "weir.wasm";

/// A builder for a running Envoy: create one, set what should differ, and call [`Launch::start`].
pub struct Launch {
    plugin: Option<Plugin>,
    configuration: Configuration,
    resource: Option<serde_json::Value>,
    in_chain: bool,
    changes: Changes,
    binary: Option<Binary>,
    concurrency: u32,
    log_level: String,
    base_dir: Option<PathBuf>,
    args: Vec<String>,
    time_limit: Duration,
    listener: Option<Listener>,
    origin_roots: Option<PathBuf>,
}

impl Launch {
    /// With this plugin. The policy is absent until [`Launch::policy`] or [`Launch::configuration`] gives one,
    /// and an absent policy denies everything.
    pub fn new(plugin: Plugin) -> Self {
        Self::with(Some(plugin))
    }

    fn with(plugin: Option<Plugin>) -> Self {
        Self {
            plugin,
            configuration: Configuration::Absent,
            resource: None,
            in_chain: false,
            changes: Changes::default(),
            binary: None,
            concurrency: 2,
            log_level: "info".into(),
            base_dir: None,
            args: Vec::new(),
            time_limit: Duration::from_secs(30),
            listener: None,
            origin_roots: None,
        }
    }

    /// Without the plugin, as a baseline for benchmarks. This Envoy forwards everything.
    pub fn without_plugin() -> Self {
        Self::with(None)
    }

    /// The policy document; the plugin receives exactly these bytes.
    #[must_use]
    pub fn policy(self, document: impl Into<Vec<u8>>) -> Self {
        self.configuration(Configuration::Text(document.into()))
    }

    /// The policy in another encoding, or none.
    #[must_use]
    pub fn configuration(mut self, configuration: Configuration) -> Self {
        self.configuration = configuration;
        self
    }

    /// The plugin's whole ECDS resource (a `TypedExtensionConfig` as JSON) from another control plane, such as istiod,
    /// instead of `filter.yaml`: see [`ecds::write_resource`]. It replaces the plugin of [`Launch::new`] and the
    /// policy.
    #[must_use]
    pub fn resource(mut self, resource: serde_json::Value) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Puts the plugin into the filter chain instead of loading it by ECDS: Envoy then refuses to start with an invalid
    /// policy, and [`Running::set_policy`] does not work.
    #[must_use]
    pub fn static_filter(mut self) -> Self {
        self.in_chain = true;
        self
    }

    /// Sends every allowed request to this address, whatever its name resolves to.
    #[must_use]
    pub fn stand_in(mut self, address: SocketAddr) -> Self {
        self.changes.stand_in = Some(address);
        self
    }

    /// Allows connections to this private network, for example to an internal registry.
    #[must_use]
    pub fn allow_upstream(mut self, network: IpNet) -> Self {
        self.changes.allow_upstream.push(network);
        self
    }

    /// Makes the listener speak TLS with these PEM files.
    #[must_use]
    pub fn tls(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.changes.tls = Some((absolute(certificate.into()), absolute(key.into())));
        self
    }

    /// Closes tunnels after this time instead of the shipped half hour.
    #[must_use]
    pub fn tunnel_lifetime(mut self, lifetime: Duration) -> Self {
        self.changes.tunnel_lifetime = Some(lifetime);
        self
    }

    /// Inspects TLS: starts `inspecting-proxy.yaml` instead of `forward-proxy.yaml`, with certificates from the issuer
    /// at this Unix socket. The policy says which hosts are inspected, by `"tls": "inspected"`.
    #[must_use]
    pub fn inspect(mut self, issuer: impl Into<PathBuf>) -> Self {
        self.changes.inspection = Some(Inspection { issuer: absolute(issuer.into()), origin_roots: None });
        self
    }

    /// The roots that verify origin certificates, a PEM file; the system's bundle by default. It has no effect without
    /// [`Launch::inspect`], because Envoy then sees no origin's certificate.
    #[must_use]
    pub fn origin_roots(mut self, pem: impl Into<PathBuf>) -> Self {
        self.origin_roots = Some(absolute(pem.into()));
        self
    }

    /// Where the proxy listens; by default a free port on 127.0.0.1.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.changes.listen = address;
        self
    }

    /// Where the admin interface listens; by default a free port on 127.0.0.1.
    #[must_use]
    pub fn admin(mut self, address: SocketAddr) -> Self {
        self.changes.admin = address;
        self
    }

    /// Starts this Envoy instead of the one that [`Binary::find`] finds.
    #[must_use]
    pub fn binary(mut self, binary: Binary) -> Self {
        self.binary = Some(binary);
        self
    }

    /// The number of worker threads; 2 by default.
    #[must_use]
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Envoy's log level; `info` by default.
    #[must_use]
    pub fn log_level(mut self, level: impl Into<String>) -> Self {
        self.log_level = level.into();
        self
    }

    /// Creates the private folder here instead of in the system's folder for temporary files.
    #[must_use]
    pub fn base_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.base_dir = Some(folder.into());
        self
    }

    /// Adds one argument to Envoy's command line.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// How long Envoy may take to become ready, and to apply a policy; 30 seconds by default.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Calls `listener` with each line of both logs as it arrives, on one thread per log.
    #[must_use]
    pub fn on_line(mut self, listener: impl Fn(&Line<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// The configuration that Envoy would start with; `filter_file` is the path of the ECDS resource. If
    /// [`Launch::binary`] set an Envoy before [`OLDEST`], what that version does not support is left out.
    ///
    /// # Errors
    /// A shipped file lacks a place that has to change.
    pub fn envoy_config(&self, filter_file: &Path) -> Result<serde_json::Value> {
        let wasm = filter_file.with_file_name(MODULE);
        let filter = match (&self.plugin, self.in_chain) {
            (None, _) => Filter::Absent,
            (Some(_), true) => Filter::Static { wasm, configuration: self.configuration.clone() },
            (Some(_), false) => Filter::Discovered(filter_file.to_owned()),
        };
        let mut changes = Changes { filter, ..self.changes.clone() };
        if let Some(inspection) = &mut changes.inspection {
            inspection.origin_roots.clone_from(&self.origin_roots);
        }
        if self.binary.as_ref().is_some_and(|binary| binary.version() < OLDEST) {
            changes.resolved_address_filter = false;
        }
        config::proxy(&changes)
    }

    /// Starts Envoy and returns when it is ready and runs the policy.
    ///
    /// # Errors
    /// There is no Envoy or no plugin, the plugin refuses the policy, or Envoy does not become ready in time.
    pub fn start(mut self) -> Result<Running> {
        let binary = match self.binary.take() {
            Some(binary) => binary,
            None => Binary::find()?,
        };
        if self.changes.inspection.is_some() && binary.version() < OLDEST_INSPECTING {
            let (path, version) = (binary.path().to_owned(), binary.version());
            let reason = format!(
                "it is Envoy {version}, and TLS inspection needs {OLDEST_INSPECTING} or later, which gets certificates on \
                 demand and tells tunnels to different hosts apart"
            );
            return Err(Error::UnusableEnvoy { path, reason });
        }
        self.binary = Some(binary.clone());
        let folder = Folder::new(self.base_dir.as_deref())?;
        let filter_file = folder.path().join("filter.json");
        let wasm = folder.path().join(MODULE);
        if let Some(plugin) = &self.plugin {
            fs::write(&wasm, plugin.bytes()).map_err(|e| Error::file("writing", &wasm, e))?;
        }
        let is_discovered = self.plugin.is_some() && !self.in_chain;
        if is_discovered {
            match &self.resource {
                Some(resource) => ecds::write_resource(&filter_file, resource)?,
                None => ecds::write(&filter_file, &wasm, &self.configuration)?,
            }
        }
        let config_file = folder.path().join("envoy.json");
        let admin_file = folder.path().join("admin-address");
        let config = serde_json::to_vec_pretty(&self.envoy_config(&filter_file)?)
            .map_err(|e| Error::io("printing the configuration", e.into()))?;
        fs::write(&config_file, config).map_err(|e| Error::file("writing", &config_file, e))?;

        let mut command = Command::new(binary.path());
        command
            // A relative path in the environment (LD_LIBRARY_PATH, HOSTALIASES) would lead to the caller's folder.
            .current_dir(folder.path())
            .arg("--config-path")
            .arg(&config_file)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--concurrency", &self.concurrency.to_string()])
            .args(["--log-level", &self.log_level, "--log-format", logs::FORMAT])
            // By default Envoy flushes the access log only every ten seconds.
            .args(["--file-flush-interval-msec", "50"])
            .arg("--disable-hot-restart")
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = spawn::spawn(command).map_err(|e| Error::file("starting", binary.path(), e))?;
        let files = Files { admin: admin_file, filter: filter_file, wasm: is_discovered.then_some(wasm), folder };
        Running::become_ready(child, Logs::new(self.listener), binary, files, self.time_limit)
    }
}

/// Envoy has a current folder of its own.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
