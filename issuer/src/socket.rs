//! The Unix socket: only this user can open it, and it must never replace one that another process listens on.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A listening socket; dropping it removes its file.
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, to recognise it as ours on drop.
    file: (u64, u64),
}

impl Socket {
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| Error::file("listening at", path, e);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // If two processes start concurrently, one checks and binds before the other checks.
        let lock = File::open(folder).map_err(|e| Error::file("opening", folder, e))?;
        lock.lock().map_err(|e| Error::file("locking", folder, e))?;
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(Error::NotASocket(path.to_owned()));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(Error::InUse(path.to_owned()));
            }
        }
        // Bound in a folder that only this user can enter, then moved: no other user can connect before the mode is
        // set, and the rename replaces a stale file atomically.
        let private = tempfile::Builder::new().prefix(".").rand_bytes(4).tempdir_in(folder).map_err(failed)?;
        let bound = private.path().join("s");
        let listener = UnixListener::bind(&bound).map_err(failed)?;
        fs::set_permissions(&bound, Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        fs::rename(&bound, path).map_err(failed)?;
        let data = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), file: (data.dev(), data.ino()) })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|data| (data.dev(), data.ino()) == self.file);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(Socket::bind(&path), Err(Error::InUse(_))));
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::bind(&path), Err(Error::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_socket_that_took_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let first = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = Socket::bind(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
        assert!(!path.exists());
    }
}
