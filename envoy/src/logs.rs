//! What Envoy writes: its own log on standard error, the access log on standard output.
//!
//! Both are kept in memory in order of arrival and passed to a listener if there is one. Reading must never stop while
//! Envoy runs: a full pipe would block Envoy.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The format that the launcher sets: level, logger and message, separated by a byte that no message begins with.
pub(crate) const FORMAT: &str = "%l\u{1f}%n\u{1f}%v";

/// One entry of Envoy's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `trace`, `debug`, `info`, `warning`, `error` or `critical`; empty for what Envoy wrote before its log was set
    /// up.
    pub level: String,
    /// `wasm`, `config`, `main`, ...
    pub logger: String,
    /// The message, which may have several lines.
    pub message: String,
}

impl LogLine {
    /// The plugin's own message, without Envoy's prefix; `None` for Envoy's own lines.
    ///
    /// ```
    /// # use weir_envoy::LogLine;
    /// let line = LogLine {
    ///     level: "error".into(),
    ///     logger: "wasm".into(),
    ///     message: "wasm log weir weir: policy: methods: must not be empty".into(),
    /// };
    /// assert_eq!(line.from_plugin(), Some("policy: methods: must not be empty"));
    /// let line = LogLine { message: "wasm log: policy: methods: must not be empty".into(), ..line };
    /// assert_eq!(line.from_plugin(), Some("policy: methods: must not be empty"));
    /// ```
    pub fn from_plugin(&self) -> Option<&str> {
        let rest = self.message.strip_prefix("wasm log").filter(|_| self.logger == "wasm")?;
        // The prefix holds the ids of root and VM, without a colon and space in our configuration; Istio leaves both
        // empty.
        rest.split_once(": ").map(|(_, message)| message)
    }

    /// Whether Envoy reports an update that it rejected.
    pub(crate) fn is_rejection(&self) -> bool {
        self.logger == "config" && self.message.contains("update rejected")
    }

    fn is_bad(&self) -> bool {
        matches!(self.level.as_str(), "error" | "critical" | "")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, '\u{1f}');
        let (level, logger, message) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { level: level.into(), logger: logger.into(), message: message.into() })
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from_plugin() {
            Some(message) => f.write_str(message),
            None => write!(f, "[{}] {}", self.level, self.message),
        }
    }
}

/// A line as it arrives, for [`crate::Launch::on_line`].
#[derive(Debug)]
pub enum Line<'l> {
    /// An entry of Envoy's own log, which includes the plugin's audit records.
    Log(&'l LogLine),
    /// A line of the access log: one JSON object.
    Access(&'l str),
}

pub(crate) type Listener = Box<dyn Fn(&Line<'_>) + Send + Sync>;

/// A proxy that runs for months must not keep every line: beyond this many, the older half is dropped.
const KEPT: usize = 100_000;

#[derive(Default)]
struct Kept {
    log: Vec<LogLine>,
    /// The number of dropped log entries; positions in the log count them too.
    gone: usize,
    access: Vec<String>,
}

impl Kept {
    fn shorten(&mut self) {
        if self.log.len() > KEPT {
            self.log.drain(..KEPT / 2);
            self.gone += KEPT / 2;
        }
        if self.access.len() > KEPT {
            self.access.drain(..KEPT / 2);
        }
    }

    fn since(&self, from: usize) -> impl Iterator<Item = &LogLine> {
        self.log.iter().skip(from.saturating_sub(self.gone))
    }
}

/// The two logs of one Envoy.
pub(crate) struct Logs {
    kept: Mutex<Kept>,
    grown: Condvar,
    listener: Option<Listener>,
}

impl Logs {
    pub(crate) fn new(listener: Option<Listener>) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), grown: Condvar::new(), listener })
    }

    pub(crate) fn read(
        self: &Arc<Self>,
        stdout: impl Read + Send + 'static,
        stderr: impl Read + Send + 'static,
    ) -> [thread::JoinHandle<()>; 2] {
        let (access, log) = (Arc::clone(self), Arc::clone(self));
        [
            thread::spawn(move || each_line(stdout, |line| access.add_access(line))),
            thread::spawn(move || each_line(stderr, |line| log.add_log(&line))),
        ]
    }

    fn add_access(&self, line: String) {
        if let Some(listener) = &self.listener {
            listener(&Line::Access(&line));
        }
        let mut kept = self.lock();
        kept.access.push(line);
        kept.shorten();
        drop(kept);
        self.grown.notify_all();
    }

    fn add_log(&self, line: &str) {
        let mut kept = self.lock();
        let entry = match (LogLine::parse(line), kept.log.last_mut()) {
            (Some(entry), _) => entry,
            // A further line of the same message.
            (None, Some(last)) => {
                last.message.push('\n');
                last.message.push_str(line);
                return;
            }
            (None, None) => LogLine { level: String::new(), logger: String::new(), message: line.into() },
        };
        kept.log.push(entry.clone());
        kept.shorten();
        drop(kept);
        self.grown.notify_all();
        if let Some(listener) = &self.listener {
            listener(&Line::Log(&entry));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> Vec<LogLine> {
        self.lock().log.clone()
    }

    pub(crate) fn log_length(&self) -> usize {
        let kept = self.lock();
        kept.gone + kept.log.len()
    }

    pub(crate) fn access(&self) -> Vec<String> {
        self.lock().access.clone()
    }

    /// Waits until `seen` holds for the kept lines, and returns whether it does.
    pub(crate) fn wait(&self, limit: Duration, mut seen: impl FnMut(&[LogLine], &[String]) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut kept = self.lock();
        loop {
            if seen(&kept.log, &kept.access) {
                return true;
            }
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return false;
            };
            kept = self.grown.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for an entry since `from`.
    pub(crate) fn wait_since(&self, from: usize, limit: Duration, wanted: impl Fn(&LogLine) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut kept = self.lock();
        while !kept.since(from).any(&wanted) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            kept = self.grown.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The plugin's errors since entry `from`, each message once, because every VM repeats it.
    pub(crate) fn plugin_errors(&self, from: usize) -> Vec<String> {
        let kept = self.lock();
        let errors = kept.since(from).filter(|line| line.is_bad());
        once(errors.filter_map(LogLine::from_plugin))
    }

    /// Why Envoy rejected an update since entry `from`.
    pub(crate) fn rejections(&self, from: usize) -> Vec<String> {
        let kept = self.lock();
        once(kept.since(from).filter(|line| line.is_rejection()).map(|line| line.message.trim_end()))
    }

    /// Envoy's own errors since entry `from`, each once.
    pub(crate) fn envoy_errors(&self, from: usize) -> Vec<String> {
        let kept = self.lock();
        let errors = kept.since(from).filter(|line| line.is_bad());
        once(errors.map(|line| line.from_plugin().unwrap_or_else(|| without_document(&line.message))))
    }
}

/// Envoy appends the whole configuration to its error about it.
fn without_document(message: &str) -> &str {
    let message = message.trim_end();
    message
        .strip_prefix("error `")
        .and_then(|rest| rest.split_once("` initializing config"))
        .map_or(message, |(wrong, _)| wrong)
}

fn once<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for line in lines {
        if !seen.iter().any(|earlier| earlier == line) {
            seen.push(line.to_owned());
        }
    }
    seen
}

fn each_line(pipe: impl Read, mut line_read: impl FnMut(String)) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    // Bytes, not `lines()`: a request can put bytes into a log that are not UTF-8, and reading must continue.
    while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        line_read(String::from_utf8_lossy(&line).into_owned());
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(stderr: &'static [u8]) -> Arc<Logs> {
        let logs = Logs::new(None);
        for reader in logs.read(&b""[..], stderr) {
            reader.join().unwrap();
        }
        logs
    }

    #[test]
    fn entries_continue_over_lines() {
        let logs = logs(b"early\ninfo\x1fmain\x1fhello\nerror\x1fmain\x1fone\ntwo\n");
        let lines = logs.log();
        assert_eq!(lines[0].message, "early");
        assert_eq!(lines[1].message, "hello");
        assert_eq!(lines[2].message, "one\ntwo");
        assert_eq!(lines[2].level, "error");
    }

    #[test]
    fn the_plugin_is_quoted_once_and_without_prefix() {
        let logs = logs(
            b"error\x1fwasm\x1fwasm log weir weir: policy: a: b\n\
              warning\x1fwasm\x1fwasm log weir weir: not an error\n\
              error\x1fwasm\x1fwasm log weir weir: policy: a: b\n\
              critical\x1fwasm\x1fPlugin weir failed to load\n",
        );
        assert_eq!(logs.plugin_errors(0), ["policy: a: b"]);
        assert_eq!(logs.envoy_errors(0), ["policy: a: b", "Plugin weir failed to load"]);
        assert!(logs.plugin_errors(3).is_empty());
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_stop_reading() {
        let logs = logs(b"info\x1fwasm\x1fa\xff\ninfo\x1fwasm\x1fb\n");
        assert_eq!(logs.log().len(), 2);
    }
}
