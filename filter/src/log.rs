//! The `log` crate's lines, written to Envoy's log.
//!
//! A line that the host does not accept is lost. It must not cost the VM.

use ::log::{Level, LevelFilter, Log, Metadata, Record, set_logger, set_max_level};

use crate::{host, numbers::LogLevel};

/// Sends every line from now on to the host, the message of a panic too.
pub(crate) fn install() {
    // A process, which is what a VM is, sets its logger once. Tests start several plugins in one process; the logger of
    // the first serves them all.
    if set_logger(&HostLog).is_ok() {
        set_max_level(LevelFilter::Info);
        // Natively the tests keep their own hook, which reports what failed.
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
        let level = match record.level() {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        let line = record.args();
        // There is nowhere left to report a line that the host does not accept.
        let _ = match line.as_str() {
            Some(line) => host::log(level, line),
            None => host::log(level, &line.to_string()),
        };
    }

    fn flush(&self) {}
}
