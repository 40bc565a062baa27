//! The private folder of one Envoy, and the cleanup of folders that earlier ones left.
//!
//! A folder is removed when its [`Folder`] is dropped. A process that is killed drops nothing, so each folder holds a
//! locked file, and the next start removes the folders whose lock nobody holds any more. It must never touch a folder
//! that is in use, or that is not of this make: the folder for temporary files is everybody's, and so are its names.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::error::{Error, Result};

const LOCK: &str = "in-use";
/// A process may still be about to lock a folder this young.
const YOUNG: Duration = Duration::from_mins(1);

/// A folder that only its owner may enter, until this is dropped.
pub struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// How the name of every such folder begins.
    pub const PREFIX: &str = "weir-envoy-";

    /// In `base`, or else in the system's folder for temporary files.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn new(base: Option<&Path>) -> Result<Self> {
        let base = base.map_or_else(std::env::temp_dir, Path::to_owned);
        // An empty TMPDIR is as none.
        let base = if base.as_os_str().is_empty() { Path::new("/tmp").to_owned() } else { base };
        // Envoy, which has a current folder of its own, is told of paths in here.
        let base = std::path::absolute(&base).map_err(|e| Error::file("finding", &base, e))?;
        let folder = tempfile::Builder::new()
            .prefix(Folder::PREFIX)
            .tempdir_in(&base)
            .map_err(|e| Error::file("creating a folder in", &base, e))?;
        let owner = fs::metadata(folder.path()).map_err(|e| Error::file("reading", folder.path(), e))?.uid();
        remove_left_over(&base, owner, YOUNG);
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

fn remove_left_over(base: &Path, owner: u32, young: Duration) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(Folder::PREFIX) {
            continue;
        }
        // Of the entry itself: a link leads elsewhere.
        if !entry.metadata().is_ok_and(|data| data.is_dir() && data.uid() == owner) {
            continue;
        }
        // A pipe would be waited for.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let lock = OpenOptions::new().read(true).custom_flags(flags).open(entry.path().join(LOCK));
        let Ok((lock, data)) = lock.and_then(|lock| lock.metadata().map(|data| (lock, data))) else { continue };
        if !data.is_file() {
            continue;
        }
        let age = data.modified().map(|at| at.elapsed().unwrap_or_default());
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

        let owner = fs::metadata(base.path()).unwrap().uid();
        remove_left_over(base.path(), owner, YOUNG);
        assert!(left.exists(), "it is young");
        remove_left_over(base.path(), owner + 1, Duration::ZERO);
        assert!(left.exists(), "it is another user's");
        remove_left_over(base.path(), owner, Duration::ZERO);
        assert!(!left.exists() && foreign.exists() && used.path().exists());

        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
    /// What anybody may put into a folder for temporary files.
    #[test]
    fn what_was_planted_is_left_alone_and_keeps_nobody_waiting() {
        let base = tempfile::tempdir().unwrap();
        let owner = fs::metadata(base.path()).unwrap().uid();
        let target = base.path().join("target");
        for folder in ["target", "weir-envoy-pipe", "weir-envoy-link-inside"] {
            fs::create_dir(base.path().join(folder)).unwrap();
        }
        fs::write(target.join(LOCK), "").unwrap();
        std::os::unix::fs::symlink(&target, base.path().join("weir-envoy-link")).unwrap();
        std::os::unix::fs::symlink(target.join(LOCK), base.path().join("weir-envoy-link-inside").join(LOCK)).unwrap();
        let pipe = base.path().join("weir-envoy-pipe").join(LOCK);
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        remove_left_over(base.path(), owner, Duration::ZERO);
        assert!(target.join(LOCK).exists());
        for name in ["weir-envoy-pipe", "weir-envoy-link", "weir-envoy-link-inside"] {
            assert!(base.path().join(name).exists(), "{name}");
        }
    }
}
