//! The errors of a build, worded for the person who builds the module.

use std::io;
use std::path::{Path, PathBuf};

/// The reason why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The compiler lacks the wasm target, and it could not be added.
    #[error("{0}")]
    Target(String),
    /// The compiler refused the sources.
    #[error("the plugin's build failed:\n{0}")]
    Compile(String),
    /// The compiler's output is not a module that Envoy may load.
    #[error("{0}")]
    Module(String),
    /// A file or process operation failed.
    #[error("{tried}: {source}")]
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
    pub(crate) fn file(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = PathBuf::from(path);
        let tried = format!("{verb} {}", path.display());
        move |source| Self::Io { tried, source }
    }
}

/// The last lines of a program's output, where its error is.
pub(crate) fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(60);
    lines.get(from..).unwrap_or_default().join("\n")
}
