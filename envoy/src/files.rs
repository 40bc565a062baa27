//! Files that another process reads while they change.

use std::path::Path;

use crate::error::{Error, Result};

/// Writes beside `path` and renames, so that a reader sees the old bytes or the new ones and never a part of them.
///
/// # Errors
/// What the file system says.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new()
        .prefix(".weir-")
        .tempfile_in(folder)
        .map_err(|e| Error::file("creating a file in", folder, e))?;
    std::io::Write::write_all(&mut beside, bytes).map_err(|e| Error::file("writing", beside.path(), e))?;
    #[cfg(unix)]
    {
        // A temporary file is the owner's alone, and an Envoy may run as another user.
        use std::os::unix::fs::PermissionsExt;
        beside
            .as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))
            .map_err(|e| Error::file("making readable", beside.path(), e))?;
    }
    beside.persist(path).map_err(|e| Error::file("replacing", path, e.error))?;
    Ok(())
}
