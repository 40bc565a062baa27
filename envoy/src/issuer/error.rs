//! What can be wrong with an authority or a socket, with what to do about it.

use std::fmt;
use std::path::PathBuf;

/// Anything that the issuer refuses.
#[derive(Debug)]
pub enum Error {
    /// Others can read the private key, or the folder that it is in.
    Exposed {
        /// The key file or the folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Those it must have at most.
        allowed: u32,
    },
    /// The private key belongs to another user.
    ForeignOwner {
        /// The key file or the folder.
        path: PathBuf,
        /// The owner's id.
        owner: u32,
    },
    /// There is an authority already.
    Exists(PathBuf),
    /// There is no authority.
    Missing(PathBuf),
    /// The files are there and cannot be used as an authority.
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not, as the end of a sentence.
        reason: String,
    },
    /// A domain for the name constraints that is no domain.
    Constraint {
        /// As it was given.
        domain: String,
        /// What is wrong with it.
        reason: super::NameError,
    },
    /// The authority has ended, or would have before a leaf could be used.
    Expired,
    /// The authority's name constraints leave this name out.
    NotPermitted(String),
    /// A certificate could not be made.
    Sign(String),
    /// Somebody listens on the socket already.
    InUse(PathBuf),
    /// Something that is no socket is in its place.
    NotASocket(PathBuf),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { path, mode, allowed } => {
                let path = path.display();
                write!(
                    f,
                    "others can get at the private key: {path} has mode {mode:04o}; run: chmod {allowed:04o} {path}\n  \
                     whoever may have copied it can impersonate every site to clients that trust this authority; if \
                     that is possible, make a new one: weir ca init --force"
                )
            }
            Self::ForeignOwner { path, owner } => {
                write!(f, "{} belongs to user {owner}, who could read or replace it; it must be yours", path.display())
            }
            Self::Exists(folder) => write!(
                f,
                "{} has a certificate authority already; with --force it is replaced, and every client has to trust \
                 the new one",
                folder.display()
            ),
            Self::Missing(folder) => {
                let folder = folder.display();
                write!(f, "no certificate authority in {folder}; make one: weir ca init --dir {folder}")
            }
            Self::Unusable { path, reason } => write!(f, "{} {reason}", path.display()),
            Self::Constraint { domain, reason } => write!(f, "name constraint \"{domain}\": {reason}"),
            Self::Expired => f.write_str("the certificate authority has expired; make a new one: weir ca init --force"),
            Self::NotPermitted(name) => write!(f, "{name} is outside the authority's name constraints"),
            Self::Sign(reason) => write!(f, "making a certificate: {reason}"),
            Self::InUse(path) => write!(f, "another issuer listens at {}", path.display()),
            Self::NotASocket(path) => {
                write!(f, "{} is there and is no socket; it stays, choose another path", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Sign(error.to_string())
    }
}
