//! The private folder of one Envoy, and the cleanup of folders that earlier ones left.
//!
//! A folder is removed when its [`Folder`] is dropped. A process that is killed drops nothing, so each folder holds a
//! locked file, and the next start removes the folders whose lock nobody holds any more. It must never touch a folder
//! that is in use, or that is not of this make.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::error::{Error, Result};

const PREFIX: &str = "weir-envoy-";
const LOCK: &str = "in-use";
/// A process may still be about to lock a folder this young.
const YOUNG: Duration = Duration::from_mins(1);

/// A folder that only its owner may enter, until this is dropped.
pub struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// In `base`, or else in the system's folder for temporary files.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn new(base: Option<&Path>) -> Result<Self> {
        let base = base.map_or_else(std::env::temp_dir, Path::to_owned);
        remove_left_over(&base, YOUNG);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&base)
            .map_err(|e| Error::file("creating a folder in", &base, e))?;
        let path = folder.path().join(LOCK);
        let lock = File::create(&path).map_err(|e| Error::file("creating", &path, e))?;
        lock.lock().map_err(|e| Error::file("locking", &path, e))?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn remove_left_over(base: &Path, young: Duration) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        let age = lock.metadata().and_then(|data| data.modified()).map(|at| at.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age >= young) && lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unused_folders_are_removed() {
        let base = tempfile::tempdir().unwrap();
        let used = Folder::new(Some(base.path())).unwrap();
        let left = base.path().join("weir-envoy-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        let foreign = base.path().join("weir-envoy-foreign");
        fs::create_dir(&foreign).unwrap();

        remove_left_over(base.path(), YOUNG);
        assert!(left.exists(), "it is young");
        remove_left_over(base.path(), Duration::ZERO);
        assert!(!left.exists() && foreign.exists() && used.path().exists());

        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
}
