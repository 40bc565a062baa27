//! The plugin's module that Envoy loads.
//!
//! It is held in memory once chosen, and each Envoy gets a copy in its private folder, so that a later write to the
//! original file cannot replace it. It comes from the binary itself or from a path that the user names, and is never
//! searched for.

use std::borrow::Cow;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A module that Envoy can load.
#[derive(Clone, Debug)]
pub struct Plugin {
    bytes: Cow<'static, [u8]>,
    path: Option<PathBuf>,
}

impl Plugin {
    /// The module that `WEIR_PLUGIN` names, or else `carried`, the one in the binary.
    ///
    /// # Errors
    /// `WEIR_PLUGIN` names a file that cannot be read.
    pub fn chosen(carried: &'static [u8]) -> Result<Self> {
        match env::var_os("WEIR_PLUGIN").filter(|path| !path.is_empty()) {
            Some(path) => Self::at(Path::new(&path)).map_err(|error| Error::Plugin(format!("WEIR_PLUGIN: {error}"))),
            None => Ok(Self { bytes: Cow::Borrowed(carried), path: None }),
        }
    }

    /// The module at `path`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn at(path: &Path) -> Result<Self> {
        let bytes =
            fs::read(path).map_err(|e| Error::Plugin(format!("cannot read the plugin {}: {e}", path.display())))?;
        Ok(Self { bytes: Cow::Owned(bytes), path: Some(path.to_owned()) })
    }

    /// The module.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The path it was read from; `None` for the one in the binary.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}
