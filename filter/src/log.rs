//! The `log` crate's lines, written to Envoy's log.
//!
//! The SDK has a logger too; it panics when the host does not take a line. A line that is lost must
//! not cost the VM, so this one ignores it.

use ::log::{Level, LevelFilter, Log, Metadata, Record, set_logger, set_max_level};

use crate::host;

/// Sends every line from now on to the host, the message of a panic too.
pub(crate) fn install() {
    // The logger can be set only once for a process, which is what a VM is; where tests start
    // several plugins in one process, the one that is set does the same.
    if set_logger(&HostLog).is_ok() {
        set_max_level(LevelFilter::Info);
        // Natively the tests' own hook stays, which tells them what failed.
        #[cfg(target_arch = "wasm32")]
        std::panic::set_hook(Box::new(|panic| {
            ::log::error!("weir: the plugin stopped: {panic}");
        }));
    }
}

struct HostLog;

impl Log for HostLog {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        // The numbers of the proxy-wasm ABI.
        let level = match record.level() {
            Level::Trace => 0,
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        let line = record.args();
        // Nobody is left to tell of a line that the host does not take.
        let _ = match line.as_str() {
            Some(line) => host::log(level, line),
            None => host::log(level, &line.to_string()),
        };
    }

    fn flush(&self) {}
}
