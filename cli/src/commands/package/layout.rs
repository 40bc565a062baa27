//! An OCI image layout in a folder (OCI Image Format Specification, `image-layout.md`).
//!
//! It is written beside its place and put there whole. It must never take the place of anything but a layout that this
//! wrote before: a layout that somebody added another image to is theirs.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::image::{Blobs, text};

const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs";

/// Why a layout was not written.
#[derive(Debug)]
pub(crate) enum Error {
    /// There is something else in its place.
    Foreign { folder: PathBuf, found: String },
    /// The file system refused.
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Foreign { folder, found } => write!(
                f,
                "{} {found}; only a layout that this wrote is replaced: name another folder with --output",
                folder.display()
            ),
            Error::Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
        }
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, path: path.to_owned(), source }
}

/// Writes the layout of `manifests` (their descriptors) and `blobs` to `folder`, whose images all have `title`.
pub(crate) fn write(folder: &Path, title: &str, manifests: &[&Value], blobs: &Blobs) -> Result<(), Error> {
    check(folder, title)?;
    // A link to a folder stays one.
    let folder = &fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(io_error("creating", parent))?;
    let beside = TempDir::with_prefix_in(".weir-oci.", parent).map_err(io_error("creating a folder in", parent))?;
    // What is being written is for its user alone, what stands in it for everybody whom the umask lets.
    let made = beside.path().join("layout");
    fill(&made, manifests, blobs)?;
    replace(&made, folder, beside.path())
}

fn fill(made: &Path, manifests: &[&Value], blobs: &Blobs) -> Result<(), Error> {
    let folder = made.join(BLOBS).join("sha256");
    fs::create_dir_all(&folder).map_err(io_error("creating", &folder))?;
    let write = |path: PathBuf, bytes: &[u8]| fs::write(&path, bytes).map_err(io_error("writing", &path));
    for (digest, bytes) in blobs {
        write(folder.join(digest), bytes)?;
    }
    let index = json!({
        "manifests": manifests,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "schemaVersion": 2,
    });
    write(made.join(INDEX), &text(&index))?;
    write(made.join(LAYOUT), &text(&json!({ "imageLayoutVersion": "1.0.0" })))
}

/// Whether `folder` may be replaced: it is not there, empty, or a layout of nothing but images of ours.
fn check(folder: &Path, title: &str) -> Result<(), Error> {
    let foreign = |found: String| Err(Error::Foreign { folder: folder.to_owned(), found });
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return foreign("is not a folder".into()),
        Err(error) => return Err(io_error("reading", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("reading", folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    if names.is_empty() {
        return Ok(());
    }
    if let Some(other) = names.iter().find(|name| ![LAYOUT, INDEX, BLOBS].contains(&name.as_str())) {
        return foreign(format!("holds {other:?}, which is not part of an image layout"));
    }
    if !names.iter().any(|name| name == LAYOUT) {
        return foreign(format!("has no {LAYOUT:?}"));
    }
    let path = folder.join(INDEX);
    let index = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(manifests) = index.as_ref().and_then(|index| index.get("manifests")?.as_array()) else {
        return foreign(format!("has an {INDEX} that is none"));
    };
    let is_ours = |manifest: &Value| {
        let found = manifest.get("annotations").and_then(|names| names.get("org.opencontainers.image.title"));
        found.and_then(Value::as_str) == Some(title)
    };
    match manifests.iter().find(|manifest| !is_ours(manifest)) {
        None => Ok(()),
        Some(other) => {
            let digest = other.get("digest").and_then(Value::as_str).unwrap_or("without a digest");
            foreign(format!("holds another image, {digest}"))
        }
    }
}

/// Puts `made` in the place of `folder`. What was there goes to `beside`, which is about to be removed.
fn replace(made: &Path, folder: &Path, beside: &Path) -> Result<(), Error> {
    let failed = io_error("putting the layout in its place at", folder);
    // Where there is none, or an empty one.
    let Err(error) = fs::rename(made, folder) else { return Ok(()) };
    if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) {
        return Err(failed(error));
    }
    if exchange(made, folder) {
        return Ok(());
    }
    replace_in_steps(made, folder, &beside.join("old")).map_err(failed)
}

/// For a file system that cannot exchange folders: for a moment there is none. Should the second step fail, the old one
/// comes back.
fn replace_in_steps(made: &Path, folder: &Path, old: &Path) -> io::Result<()> {
    fs::rename(folder, old)?;
    fs::rename(made, folder).inspect_err(|_| {
        let _ = fs::rename(old, folder);
    })
}

/// Exchanges two folders in one step, if the system can.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn exchange(_one: &Path, _other: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_in_steps_is_whole_or_none() {
        let beside = TempDir::new().unwrap();
        let [made, folder, old] = ["made", "folder", "old"].map(|name| beside.path().join(name));
        for (path, file) in [(&made, "new"), (&folder, "before")] {
            fs::create_dir(path).unwrap();
            fs::write(path.join(file), "").unwrap();
        }
        replace_in_steps(&made, &folder, &old).unwrap();
        assert!(folder.join("new").exists() && !folder.join("before").exists());

        fs::remove_dir_all(&old).unwrap();
        assert!(replace_in_steps(&made, &folder, &old).is_err(), "there is nothing to put in its place any more");
        assert!(folder.join("new").exists() && !old.exists());
    }
}
