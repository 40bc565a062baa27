//! Files that another process reads while they change.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// Says of a missing folder what to do, where the error would name the temporary file.
fn plainly(error: io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder; create it first",
        io::ErrorKind::NotADirectory => "it is not a folder",
        _ => return error,
    };
    io::Error::new(error.kind(), reason)
}

/// Writes a temporary file beside `path` and renames it, so that a reader sees the old bytes or the new ones, never a
/// part.
///
/// # Errors
/// The file system fails.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new()
        .prefix(".weir-")
        .tempfile_in(folder)
        .map_err(|e| Error::file("creating a file in", folder, plainly(e)))?;
    std::io::Write::write_all(&mut beside, bytes).map_err(|e| Error::file("writing", beside.path(), e))?;
    #[cfg(unix)]
    {
        // Only its owner can read a temporary file, and Envoy may run as another user.
        use std::os::unix::fs::PermissionsExt;
        beside
            .as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))
            .map_err(|e| Error::file("setting the mode of", beside.path(), e))?;
    }
    beside.persist(path).map_err(|e| Error::file("replacing", path, e.error))?;
    Ok(())
}
