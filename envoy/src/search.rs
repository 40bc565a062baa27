//! Where programs are looked for: the PATH, without what a project could have put on it.
//!
//! The folder that the user works in may hold what an agent or a stranger wrote, and so may the folders above it. A PATH
//! can lead there: an empty or relative entry does, and `npm run` adds the `node_modules/.bin` of the project and of
//! every folder above. It must never find a program there. What is named by its path is the user's choice.

use std::env;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// The folders of the PATH that programs are taken from.
pub(crate) fn folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let here = env::current_dir().and_then(|folder| folder.canonicalize()).ok();
    // Somebody at home has their own programs below the current folder.
    let home = env::var_os("HOME").and_then(|home| PathBuf::from(home).canonicalize().ok());
    let project = here.filter(|here| here.parent().is_some() && !home.is_some_and(|home| home.starts_with(here)));
    env::split_paths(&path).filter(|folder| is_trusted(folder, project.as_deref())).collect()
}

/// The same as the value of a PATH.
pub(crate) fn path() -> OsString {
    env::join_paths(folders()).unwrap_or_default()
}

/// The program of that name.
pub(crate) fn program(name: &Path) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn is_trusted(folder: &Path, project: Option<&Path>) -> bool {
    let real = folder.canonicalize();
    let of_npm = |path: &Path| path.components().any(|part| part == Component::Normal("node_modules".as_ref()));
    let of_project = |path: &Path| project.is_some_and(|project| path.starts_with(project));
    let is_foreign = |path: &Path| of_npm(path) || of_project(path);
    folder.is_absolute() && !is_foreign(folder) && !real.is_ok_and(|real| is_foreign(&real))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_project_is_searched() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        let project = base.join("project");
        std::fs::create_dir_all(project.join("bin")).unwrap();
        std::os::unix::fs::symlink(project.join("bin"), base.join("link")).unwrap();
        for (folder, trusted) in [
            ("/usr/bin".into(), true),
            (base.join("bin"), true),
            (base.join("projects"), true),
            ("".into(), false),
            (".".into(), false),
            ("bin".into(), false),
            ("../bin".into(), false),
            (project.clone(), false),
            (project.join("bin"), false),
            (base.join("link"), false),
            (base.join("node_modules/.bin"), false),
        ] {
            assert_eq!(is_trusted(&folder, Some(&project)), trusted, "{}", folder.display());
        }
        assert!(is_trusted(&project.join("bin"), None));
    }
}
