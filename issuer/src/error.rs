//! The errors of the CA and the SDS server, each with its remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::folder::KEY_FILE;
use crate::names::NameError;

/// Any error of the issuer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Other users can read the private key, or the folder that it is in.
    #[error(
        "other users can read the private key: {path} has mode {mode:04o}; run: chmod {allowed:04o} {path}\n  \
         A copy of the key can impersonate every site to clients that trust this CA; if one may \
         exist, create a new CA: weir ca init --force --ca {folder}",
        path = path.display(),
        folder = folder_of(path).display()
    )]
    Exposed {
        /// The key file or the folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The most that are allowed.
        allowed: u32,
    },
    /// The private key belongs to another user.
    #[error("{path} belongs to user {owner}, who could read or replace it; it must be yours", path = path.display())]
    ForeignOwner {
        /// The key file or the folder.
        path: PathBuf,
        /// The owner's id.
        owner: u32,
    },
    /// The folder already holds a CA.
    #[error(
        "{} already holds a CA; --force replaces it, and then every client has to trust the new one",
        .0.display()
    )]
    Exists(PathBuf),
    /// The folder holds no CA.
    #[error("no CA in {}; create one: weir ca init --ca {}", .0.display(), .0.display())]
    Missing(PathBuf),
    /// The files exist but are not a usable CA.
    #[error("{} {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not, as the end of a sentence.
        reason: String,
    },
    /// A name constraint is not a domain.
    #[error("name constraint \"{domain}\": {reason}")]
    Constraint {
        /// The constraint as given, escaped.
        domain: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// The CA has expired, or expires before a leaf could be used.
    #[error("the CA has expired; create a new one: weir ca init --force")]
    Expired,
    /// The CA's name constraints do not permit this name.
    #[error("{0} is outside the name constraints of the CA")]
    NotPermitted(String),
    /// A certificate could not be created.
    #[error("creating a certificate: {0}")]
    Sign(String),
    /// Another process listens on the socket.
    #[error("another issuer listens at {}", .0.display())]
    InUse(PathBuf),
    /// The path of the socket holds something else.
    #[error("{} exists and is not a socket, so it is not replaced; choose another path", .0.display())]
    NotASocket(PathBuf),
    /// A file, socket or thread operation failed.
    #[error("{tried} failed: {source}")]
    Io {
        /// What was tried, with the path.
        tried: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(tried: impl Into<String>, source: io::Error) -> Self {
        Self::Io { tried: tried.into(), source }
    }

    pub(crate) fn file(verb: &str, path: &Path, source: io::Error) -> Self {
        Self::io(format!("{verb} {}", path.display()), source)
    }
}

/// The CA's folder, where `path` may be the key in it.
fn folder_of(path: &Path) -> &Path {
    if path.file_name().is_some_and(|name| name == KEY_FILE) { path.parent().unwrap_or(path) } else { path }
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Sign(error.to_string())
    }
}
