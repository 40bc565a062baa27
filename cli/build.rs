//! Tells the binary which commit it was built from, for `weir --version`.
//!
//! It must not run at each build: it watches what a commit or a checkout changes in git's folder, and the sources that end
//! up in the binary, which have it built again anyway. It must not name the commit of another repository that happens to
//! lie around an unpacked source archive.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What of the workspace ends up in the binary: files and folders below its root.
const SOURCES: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "cli/Cargo.toml",
    "cli/build.rs",
    "cli/src",
    "envoy",
    "filter/Cargo.toml",
    "filter/src",
    "issuer/Cargo.toml",
    "issuer/src",
    "module/Cargo.toml",
    "module/build",
    "module/build.rs",
    "module/src",
    "policy/Cargo.toml",
    "policy/build.rs",
    "policy/src",
    "presets",
    "rust-toolchain.toml",
    "tests/internet",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=WEIR_COMMIT");
    let own = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = own.parent().ok_or("the crate has no workspace around it")?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let (commit, is_dirty) = match env::var("WEIR_COMMIT") {
        Ok(given) if !given.is_empty() => (checked(given)?, false),
        _ => of_checkout(root).unwrap_or_else(|| ("unknown".to_owned(), false)),
    };
    let short = if commit == "unknown" { &commit } else { commit.get(..7).unwrap_or(&commit) };
    let dirty = if is_dirty { "-dirty" } else { "" };
    println!("cargo::rustc-env=WEIR_COMMIT_SHORT={short}{dirty}");
    println!("cargo::rustc-env=WEIR_COMMIT_LONG={commit}{dirty}");
    Ok(())
}

/// A commit that whoever builds an archive without git names.
fn checked(commit: String) -> Result<String, Box<dyn Error>> {
    let is_commit = (7..=64).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit { Ok(commit) } else { Err(format!("WEIR_COMMIT is no commit: {commit:?}").into()) }
}

/// The commit of the checkout at `root`, and whether its sources differ from it. `None` where there is none, or no git.
fn of_checkout(root: &Path) -> Option<(String, bool)> {
    let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let commit = git(root, &["rev-parse", "--verify", "HEAD^{commit}"])?;
    // The log grows with each commit and checkout, whether the branch has a file of its own or is packed. A file that is
    // not there may not be watched: cargo would run this at every build.
    for watched in ["HEAD", "logs/HEAD", "packed-refs"] {
        let path = git(root, &["rev-parse", "--git-path", watched]).map(|path| root.join(path));
        if let Some(path) = path.filter(|path| path.exists()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]);
    let branch = branch.and_then(|name| git(root, &["rev-parse", "--git-path", &name])).map(|path| root.join(path));
    if let Some(path) = branch.filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    Some((commit, !git(root, &status)?.is_empty()))
}

/// What git says; `None` where it fails.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    // A hook of git sets the GIT_ variables for its own repository.
    let mut command = Command::new("git");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    let output = command
        // Without writing to the index, of which another git may hold the lock.
        .args(["--no-optional-locks", "-c", "core.fsmonitor=false"])
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end_matches('\n').to_owned())
}
