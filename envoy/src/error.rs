//! The errors of this crate, worded for the operator who started Envoy.
//!
//! Every variant says what was tried, what happened and, where possible, what to do. It must never pass on a `Debug`
//! shape or an Envoy log line with its time stamps and source files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Any error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Envoy is not on this machine and cannot be fetched. The text says what to do.
    #[error("{0}")]
    NoEnvoy(String),
    /// An Envoy was found and does not run, or is too old.
    #[error("the Envoy at {} cannot be used: {reason}", path.display())]
    UnusableEnvoy {
        /// The executable.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The plugin cannot be read.
    #[error("{0}")]
    Plugin(String),
    /// A configuration file of this crate lacks the place that has to change.
    #[error("{file}: there is no {place}, which has to be changed here")]
    Config {
        /// The shipped file.
        file: &'static str,
        /// What is missing, as a path into the document.
        place: String,
    },
    /// The roots that verify origin certificates are at none of these paths.
    #[error(
        "the CA certificates that origins are checked against are at none of {0}; install ca-certificates, or name a \
         bundle"
    )]
    NoRoots(String),
    /// The plugin refused the policy; each message is one line.
    #[error("the plugin refused the policy{}", Quoted(.0))]
    PolicyRefused(Vec<String>),
    /// Envoy exited without being stopped.
    #[error("Envoy ended by itself ({status}){}", Quoted(errors))]
    Exited {
        /// Its exit status.
        status: ExitStatus,
        /// Its own errors, without time stamps.
        errors: Vec<String>,
    },
    /// Envoy runs and does not become ready, or does not apply a change.
    #[error("Envoy: no {waited_for} within {} seconds{}", limit.as_secs(), Quoted(errors))]
    Timeout {
        /// What was waited for.
        waited_for: &'static str,
        /// For how long.
        limit: Duration,
        /// Its own errors, without time stamps.
        errors: Vec<String>,
    },
    /// The admin interface gave an unexpected answer.
    #[error("Envoy's admin interface: {0}")]
    Admin(String),
    /// A file or process operation failed.
    #[error("{tried} failed: {source}")]
    Io {
        /// What was tried, with the path.
        tried: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(tried: impl Into<String>, source: io::Error) -> Self {
        Self::Io { tried: tried.into(), source }
    }

    pub(crate) fn file(verb: &str, path: &Path, source: io::Error) -> Self {
        Self::io(format!("{verb} {}", path.display()), source)
    }
}

/// Lines of another program, below the sentence that introduces them.
struct Quoted<'a>(&'a [String]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            f.write_str(":")?;
        }
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
