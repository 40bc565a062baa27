//! What can go wrong, in words for the person who started Envoy.
//!
//! Every variant says what was tried, what happened and, where there is one, what to do. It must never hand on a
//! `Debug` shape or an Envoy log line with its time stamps and source files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Anything that this crate refuses or fails at.
#[derive(Debug)]
pub enum Error {
    /// Envoy is not on this machine and cannot be fetched. The text says what to do.
    NoEnvoy(String),
    /// An Envoy was found and does not run, or is too old.
    UnusableEnvoy {
        /// The executable.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The plugin is missing, or its build failed.
    Plugin(String),
    /// A configuration file of this crate lost the place that has to be changed.
    Config {
        /// The shipped file.
        file: &'static str,
        /// What is missing, as a path into the document.
        place: String,
    },
    /// The roots that origins are checked against are nowhere; these places were looked at.
    NoRoots(String),
    /// The policy was refused by the plugin; each message is one line of its own.
    PolicyRefused(Vec<String>),
    /// Envoy ended although nobody asked it to.
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// Its own errors, without time stamps.
        errors: Vec<String>,
    },
    /// Envoy runs and does not become ready, or does not take up a change.
    Timeout {
        /// What was waited for.
        waited_for: &'static str,
        /// For how long.
        limit: Duration,
        /// Its own errors, without time stamps.
        errors: Vec<String>,
    },
    /// The admin interface answered something else than expected.
    Admin(String),
    /// The certificate authority or the issuer.
    Issuer(crate::issuer::Error),
    /// A file or a process could not be handled.
    Io {
        /// What was tried, with the path.
        tried: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(tried: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { tried: tried.into(), source }
    }

    pub(crate) fn file(verb: &str, path: &Path, source: std::io::Error) -> Self {
        Self::io(format!("{verb} {}", path.display()), source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEnvoy(what_to_do) => f.write_str(what_to_do),
            Self::UnusableEnvoy { path, reason } => {
                write!(f, "the Envoy at {} cannot be used: {reason}", path.display())
            }
            Self::Plugin(reason) => f.write_str(reason),
            Self::Config { file, place } => {
                write!(f, "{file}: there is no {place}, which has to be changed here")
            }
            Self::NoRoots(places) => write!(
                f,
                "the roots that certificates of origins are checked against are at none of {places}; install \
                 ca-certificates, or name a bundle"
            ),
            Self::PolicyRefused(messages) => {
                f.write_str("the plugin refused the policy")?;
                quote(f, messages)
            }
            Self::Exited { status, errors } => {
                write!(f, "Envoy ended by itself ({status})")?;
                quote(f, errors)
            }
            Self::Timeout { waited_for, limit, errors } => {
                write!(f, "Envoy: no {waited_for} within {} seconds", limit.as_secs())?;
                quote(f, errors)
            }
            Self::Issuer(error) => error.fmt(f),
            Self::Admin(reason) => write!(f, "Envoy's admin interface: {reason}"),
            Self::Io { tried, source } => write!(f, "{tried}: {source}"),
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    f.write_str(":")?;
    lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
}

impl From<crate::issuer::Error> for Error {
    fn from(error: crate::issuer::Error) -> Self {
        Self::Issuer(error)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
