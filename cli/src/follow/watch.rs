//! Watches one file by reading it again and again.
//!
//! A policy is small, and reading it is the one way that sees every kind of change: writing in place,
//! a rename over it, a symbolic link that points elsewhere, a network folder. A file that is just
//! being written shows halves, so a change counts when it has been the same for two looks.

use std::fs;
use std::io;
use std::path::PathBuf;

/// What a look at the file found.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Nothing new.
    Same,
    /// New content, at rest.
    Changed(Vec<u8>),
    /// The file can no longer be read. It is told once.
    Gone(io::Error),
}

/// A file and what was seen of it.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    /// What was reported last, or what it began with. Nothing where it could not be read yet.
    known: Option<Vec<u8>>,
    /// What the last look found, where that is not what is known.
    fresh: Option<Vec<u8>>,
    /// Looks since the file could be read.
    missing: u32,
}

/// A rename may leave a moment without the file.
const PATIENCE: u32 = 10;

impl Watched {
    /// Watches `path`, which held `known`, or could not be read.
    pub(crate) fn new(path: PathBuf, known: Option<Vec<u8>>) -> Watched {
        Watched { path, known, fresh: None, missing: 0 }
    }

    /// Looks once.
    pub(crate) fn look(&mut self) -> Seen {
        let content = match fs::read(&self.path) {
            Ok(content) => content,
            Err(error) => {
                self.fresh = None;
                self.missing = self.missing.saturating_add(1);
                return if self.missing == PATIENCE { Seen::Gone(error) } else { Seen::Same };
            }
        };
        self.missing = 0;
        if self.known.as_ref() == Some(&content) {
            self.fresh = None;
        } else if self.fresh.as_ref() == Some(&content) {
            self.fresh = None;
            self.known = Some(content.clone());
            return Seen::Changed(content);
        } else {
            self.fresh = Some(content);
        }
        Seen::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_is_at_rest() {
        let folder = std::env::temp_dir().join(format!("weir-watch-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("policy.json");
        fs::write(&path, "one").unwrap();
        let mut watched = Watched::new(path.clone(), Some(b"one".to_vec()));
        assert!(matches!(watched.look(), Seen::Same));
        // In place, by halves.
        fs::write(&path, "tw").unwrap();
        assert!(matches!(watched.look(), Seen::Same));
        fs::write(&path, "two").unwrap();
        assert!(matches!(watched.look(), Seen::Same));
        assert!(matches!(watched.look(), Seen::Changed(content) if content == b"two"));
        assert!(matches!(watched.look(), Seen::Same));
        // By rename.
        fs::write(folder.join("beside"), "three").unwrap();
        fs::rename(folder.join("beside"), &path).unwrap();
        watched.look();
        assert!(matches!(watched.look(), Seen::Changed(content) if content == b"three"));
        // Gone, and back.
        fs::remove_file(&path).unwrap();
        let told = (0..PATIENCE * 2).filter(|_| matches!(watched.look(), Seen::Gone(_))).count();
        assert_eq!(told, 1);
        fs::write(&path, "three").unwrap();
        assert!(matches!(watched.look(), Seen::Same));
        fs::remove_dir_all(&folder).unwrap();
    }
}
