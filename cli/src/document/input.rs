//! Reads the documents that the command line names; `-` is standard input.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// More than any policy, and little enough to hold: a mistyped path to a disk image ends here.
const MAX_BYTES: u64 = 64 << 20;

/// A document, and what messages call it.
#[derive(Debug)]
pub(crate) struct Input {
    /// The path as it was given; `<stdin>` for `-`.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) bytes: Vec<u8>,
}

/// A document that could not be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// The system refused.
    Io(PathBuf, io::Error),
    /// Longer than a policy can be.
    TooLong(PathBuf),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Io(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Unreadable::TooLong(path) => {
                write!(f, "{} is longer than {} MiB: that is no policy", path.display(), MAX_BYTES >> 20)
            }
        }
    }
}

/// Reads `path` whole.
///
/// # Errors
/// Whatever the system refuses, and a document that is too long.
pub(crate) fn read(path: &Path) -> Result<Input, Unreadable> {
    let failed = |error| Unreadable::Io(path.to_owned(), error);
    let from_stdin = path == Path::new("-");
    let mut bytes = Vec::new();
    if from_stdin {
        io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unreadable::TooLong(path.to_owned()));
    }
    let name = if from_stdin { "<stdin>".to_owned() } else { path.display().to_string() };
    Ok(Input { name, bytes })
}
