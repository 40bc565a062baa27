//! The CA that commands share: where it is, and what its errors mean for the exit code.

use std::path::{Path, PathBuf};

use weir_issuer::{Error, default_folder};

use crate::console::exit::Exit;
use crate::console::terminal::mistake;

/// The folder that was named, or the usual one.
pub(crate) fn folder(named: Option<&Path>) -> Option<PathBuf> {
    let folder = named.map(Path::to_owned).or_else(default_folder);
    if folder.is_none() {
        mistake("neither XDG_DATA_HOME nor HOME is set: name the CA's folder with --ca");
    }
    folder
}

/// Says what went wrong, and answers how the process ends.
pub(crate) fn failed(error: &Error) -> Exit {
    mistake(error);
    if matches!(error, Error::Constraint { .. }) { Exit::Mistake } else { Exit::Failure }
}
