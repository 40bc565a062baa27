//! The module that an Envoy is given.
//!
//! It is held in memory from the moment it is chosen, and each Envoy gets a copy in its private folder: nobody who can
//! write to where it came from can replace it afterwards. It comes from the binary itself or from a path that the user
//! named, and is never looked for.

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
    /// The module that `WEIR_PLUGIN` names, or else `carried`.
    ///
    /// # Errors
    /// `WEIR_PLUGIN` names no file that can be read.
    pub fn chosen(carried: &'static [u8]) -> Result<Self> {
        match env::var_os("WEIR_PLUGIN").filter(|path| !path.is_empty()) {
            Some(path) => Self::at(Path::new(&path)),
            None => Ok(Self { bytes: Cow::Borrowed(carried), path: None }),
        }
    }

    /// The module at `path`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn at(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| Error::Plugin(format!("the plugin {}: {e}", path.display())))?;
        Ok(Self { bytes: Cow::Owned(bytes), path: Some(path.to_owned()) })
    }

    /// The module.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where it was read from; `None` for the one that is carried.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}
