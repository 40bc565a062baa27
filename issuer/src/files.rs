//! The CA's two files: who may read them, and how they are created.
//!
//! They must never be visible half written, never be readable by other users even briefly, and never be replaced
//! without `--force`.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::{Error, Result};
use crate::folder::{CERTIFICATE_FILE, KEY_FILE};

const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_FOLDER: u32 = 0o700;
const PUBLIC_FILE: u32 = 0o644;
/// More than any certificate or key.
const LARGEST: u64 = 1 << 20;

/// The CA's folder, created if necessary, and locked against other processes that would write to it concurrently.
pub(crate) struct Locked<'a> {
    folder: &'a Path,
    _lock: File,
}

impl<'a> Locked<'a> {
    pub(crate) fn new(folder: &'a Path) -> Result<Self> {
        let failed = |e| Error::file("creating", folder, e);
        if let Some(above) = folder.parent() {
            fs::create_dir_all(above).map_err(failed)?;
        }
        match DirBuilder::new().mode(PRIVATE_FOLDER).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let locking = |e| Error::file("locking", folder, e);
        let lock = File::open(folder).map_err(locking)?;
        is_a_folder(folder, &lock)?;
        lock.lock().map_err(locking)?;
        private(folder, &lock, PRIVATE_FOLDER)?;
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.folder.join(name).symlink_metadata().is_ok()
    }

    pub(crate) fn write_certificate(&self, pem: &str) -> Result<()> {
        self.write(CERTIFICATE_FILE, pem, PUBLIC_FILE)
    }

    pub(crate) fn write_key(&self, pem: &str) -> Result<()> {
        self.write(KEY_FILE, pem, PRIVATE_FILE)
    }

    /// Writes a temporary file and renames it: a reader sees all of the old content or all of the new.
    fn write(&self, name: &str, content: &str, mode: u32) -> Result<()> {
        let path = self.folder.join(name);
        let written = || -> io::Result<()> {
            // The call that creates the file sets the private mode; only a public file gets more permissions,
            // afterwards.
            let mut file = tempfile::Builder::new()
                .prefix(".new-")
                .permissions(Permissions::from_mode(PRIVATE_FILE))
                .tempfile_in(self.folder)?;
            file.write_all(content.as_bytes())?;
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(self.folder)?.sync_all()
        };
        written().map_err(|e| Error::file("writing", &path, e))
    }
}

/// The certificate's text.
pub(crate) fn read_certificate(folder: &Path) -> Result<String> {
    let path = folder.join(CERTIFICATE_FILE);
    let file = open(folder, &path)?;
    read(file, &path)
}

/// The key's text, if no other user can have read it.
pub(crate) fn read_key(folder: &Path) -> Result<String> {
    let path = folder.join(KEY_FILE);
    let opened = File::open(folder).map_err(|e| Error::file("opening", folder, e))?;
    is_a_folder(folder, &opened)?;
    private(folder, &opened, PRIVATE_FOLDER)?;
    let file = open(folder, &path)?;
    private(&path, &file, PRIVATE_FILE)?;
    read(file, &path)
}

fn open(folder: &Path, path: &Path) -> Result<File> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Missing(folder.to_owned()),
        _ => Error::file("opening", path, error),
    })
}

fn read(file: File, path: &Path) -> Result<String> {
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(|e| Error::file("reading", path, e))?;
    Ok(text)
}

/// Refuses a file in place of the CA's folder, before any advice on its mode.
fn is_a_folder(path: &Path, opened: &File) -> Result<()> {
    let data = opened.metadata().map_err(|e| Error::file("looking at", path, e))?;
    if data.is_dir() {
        return Ok(());
    }
    Err(Error::Unusable { path: path.to_owned(), reason: "is not a folder; --ca names the folder of the CA".into() })
}

/// Refuses a file that group or others can open, or that another user owns. Root can read everything anyway.
fn private(path: &Path, opened: &File, allowed: u32) -> Result<()> {
    let data = opened.metadata().map_err(|e| Error::file("looking at", path, e))?;
    let user = rustix::process::geteuid().as_raw();
    if data.uid() != user && data.uid() != 0 {
        return Err(Error::ForeignOwner { path: path.to_owned(), owner: data.uid() });
    }
    let mode = data.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path: path.to_owned(), mode, allowed });
    }
    Ok(())
}
