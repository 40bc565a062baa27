//! A started Envoy and the operations on it.
//!
//! Envoy ends when its [`Running`] is dropped or this process ends for any reason. It must never leave behind an Envoy
//! or a file that `Drop` could have removed, and never wait longer than its time limit.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::admin;
use crate::binary::Binary;
use crate::ecds::{self, Configuration};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::logs::{LogLine, Logs};
use crate::spawn;

const DISCOVERY: &str = "extension_config_discovery.http_filter.weir.";
const POLL: Duration = Duration::from_millis(10);
/// For what is about to happen and costs nothing to look at: a file of Envoy's, its end.
const WATCH: Duration = Duration::from_millis(1);

/// The files of one Envoy.
pub(crate) struct Files {
    /// Where Envoy writes the address of its admin interface.
    pub(crate) admin: PathBuf,
    /// The ECDS resource.
    pub(crate) filter: PathBuf,
    /// The plugin, if it is loaded by ECDS.
    pub(crate) wasm: Option<PathBuf>,
    /// The folder that holds them.
    pub(crate) folder: Folder,
}

/// A running Envoy, stopped when this is dropped.
pub struct Running {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    logs: Arc<Logs>,
    binary: Binary,
    admin: SocketAddr,
    address: SocketAddr,
    files: Files,
    time_limit: Duration,
}

impl Running {
    /// Returns when Envoy is ready and runs the policy.
    pub(crate) fn become_ready(
        mut child: Child,
        logs: Arc<Logs>,
        binary: Binary,
        files: Files,
        time_limit: Duration,
    ) -> Result<Self> {
        let readers = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => logs.read(stdout, stderr).into(),
            _ => Vec::new(),
        };
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut running = Self { child, readers, logs, binary, admin: unknown, address: unknown, files, time_limit };
        let end = Instant::now() + time_limit;
        running.admin = running.every(WATCH, end, "admin interface", |running| {
            // Envoy creates the file before it writes the address.
            Ok(fs::read_to_string(&running.files.admin).ok().and_then(|text| text.trim().parse().ok()))
        })?;
        // Envoy is not live until it has loaded or refused the plugin's first configuration.
        running.until(end, "readiness", |running| {
            Ok(running.admin_get("/ready").is_ok_and(|state| state.trim() == "LIVE").then_some(()))
        })?;
        if running.files.wasm.is_some() {
            running.until(end, "plugin", |running| running.applied(&BTreeMap::new(), 0))?;
        }
        running.address = running
            .until(end, "listener", |running| Ok(admin::listeners(running.admin)?.get("forward_proxy").copied()))?;
        Ok(running)
    }

    /// Whether Envoy applied an update since the counters were `before` and the log had `from` entries.
    fn applied(&self, before: &BTreeMap<String, u64>, from: usize) -> Result<Option<()>> {
        match outcome(&self.stats(DISCOVERY)?, before) {
            Some(true) => Ok(Some(())),
            Some(false) => Err(Error::PolicyRefused(self.complaints(from))),
            None => Ok(None),
        }
    }

    /// Polls until there is an answer, Envoy exits or `end` has passed.
    fn until<T>(
        &mut self,
        end: Instant,
        waited_for: &'static str,
        ask: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        self.every(POLL, end, waited_for, ask)
    }

    fn every<T>(
        &mut self,
        pause: Duration,
        end: Instant,
        waited_for: &'static str,
        mut ask: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            self.still_runs()?;
            if let Some(answer) = ask(self)? {
                return Ok(answer);
            }
            if Instant::now() >= end {
                let errors = self.logs.envoy_errors(0);
                return Err(Error::Timeout { waited_for, limit: self.time_limit, errors });
            }
            thread::sleep(pause);
        }
    }

    fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait().map_err(|e| Error::io("waiting for Envoy", e))? {
            Some(status) => Err(self.ended(status)),
            None => Ok(()),
        }
    }

    fn ended(&mut self, status: ExitStatus) -> Error {
        // Envoy's last output may still be in the pipes.
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let plugin = self.logs.plugin_errors(0);
        if plugin.is_empty() {
            Error::Exited { status, errors: self.logs.envoy_errors(0) }
        } else {
            Error::PolicyRefused(plugin)
        }
    }

    /// What the plugin, or else Envoy, reports about a refused policy.
    fn complaints(&self, from: usize) -> Vec<String> {
        // The counter may be ahead of the pipe. Envoy's own report follows the plugin's.
        self.logs.wait_since(from, Duration::from_secs(2), LogLine::is_rejection);
        [self.logs.plugin_errors(from), self.logs.envoy_errors(from), self.logs.rejections(from)]
            .into_iter()
            .find(|messages| !messages.is_empty())
            .unwrap_or_default()
    }

    /// Where the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin interface listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The Envoy that was started.
    pub fn binary(&self) -> &Binary {
        &self.binary
    }

    /// The private folder: `envoy.json`, and `filter.json` if the plugin is loaded by ECDS.
    pub fn folder(&self) -> &Path {
        self.files.folder.path()
    }

    /// Envoy's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether Envoy is still running.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The body of a page of the admin interface, by GET.
    ///
    /// # Errors
    /// It cannot be reached, or its status is not 200.
    pub fn admin_get(&self, path: &str) -> Result<String> {
        admin::request(self.admin, "GET", path)
    }

    /// The same by POST, for pages that change something (`/logging?level=debug`).
    ///
    /// # Errors
    /// As [`Running::admin_get`].
    pub fn admin_post(&self, path: &str) -> Result<String> {
        admin::request(self.admin, "POST", path)
    }

    /// The counters and gauges whose name begins with `prefix`, by full name. The plugin's own begin with
    /// `wasmcustom.`.
    ///
    /// # Errors
    /// As [`Running::admin_get`].
    pub fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        admin::stats(self.admin, prefix)
    }

    /// Replaces the policy of the running Envoy and returns when the new one is in force.
    ///
    /// # Errors
    /// [`Error::PolicyRefused`] with the plugin's own messages; the old policy then stays in force.
    pub fn set_policy(&mut self, document: impl Into<Vec<u8>>) -> Result<()> {
        self.set_configuration(&Configuration::Text(document.into()))
    }

    /// As [`Running::set_policy`], in another encoding or without a policy.
    ///
    /// # Errors
    /// As [`Running::set_policy`].
    pub fn set_configuration(&mut self, configuration: &Configuration) -> Result<()> {
        let Some(wasm) = self.files.wasm.clone() else {
            return Err(Error::Admin("a static filter's policy cannot be changed".into()));
        };
        self.still_runs()?;
        let from = self.logs.log_length();
        let before = self.stats(DISCOVERY)?;
        ecds::write(&self.files.filter, &wasm, configuration)?;
        let end = Instant::now() + self.time_limit;
        self.until(end, "new policy", |running| running.applied(&before, from))
    }

    /// Envoy's own log so far, including the plugin's lines.
    pub fn log_lines(&self) -> Vec<LogLine> {
        self.logs.log()
    }

    /// The plugin's messages so far, without Envoy's prefix.
    pub fn plugin_lines(&self) -> Vec<String> {
        self.logs.log().iter().filter_map(LogLine::from_plugin).map(str::to_owned).collect()
    }

    /// The access log so far: one JSON object each.
    pub fn access_log_lines(&self) -> Vec<String> {
        self.logs.access()
    }

    /// Waits until `seen` holds for Envoy's log and the access log, and returns whether it does: Envoy writes both
    /// shortly after the answer that they record.
    pub fn wait_for_logs(&self, limit: Duration, seen: impl FnMut(&[LogLine], &[String]) -> bool) -> bool {
        self.logs.wait(limit, seen)
    }

    /// Waits until Envoy exits by itself.
    ///
    /// # Errors
    /// The system cannot wait for the process.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().map_err(|e| Error::io("waiting for Envoy", e))
    }

    /// Stops Envoy: signals it, and kills it if it does not exit within two seconds. Dropping does the same. Returns
    /// the exit status if Envoy had exited by itself, which may have been a while ago.
    pub fn stop(mut self) -> Option<ExitStatus> {
        self.end()
    }

    fn end(&mut self) -> Option<ExitStatus> {
        let (asked, mut killed) = (self.is_alive(), false);
        if asked {
            spawn::terminate(&self.child);
        }
        let end = Instant::now() + Duration::from_secs(2);
        while self.is_alive() && Instant::now() < end {
            thread::sleep(WATCH);
        }
        if self.is_alive() {
            killed = self.child.kill().is_ok();
        }
        let status = self.child.wait().ok();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        // An Envoy that was stopped exits successfully; one that was failing already does not.
        status.filter(|status| !asked || !killed && !status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether an update since `before` was applied (`true`) or refused; `None` if there was none yet.
fn outcome(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> Option<bool> {
    let grown = |name: &str| {
        let name = format!("{DISCOVERY}{name}");
        now.get(&name).unwrap_or(&0) > before.get(&name).unwrap_or(&0)
    };
    if grown("update_rejected") || grown("update_failure") {
        return Some(false);
    }
    grown("update_success").then_some(true)
}
