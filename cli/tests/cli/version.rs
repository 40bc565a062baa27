//! `weir --version`, and the build script that finds the commit, run on checkouts made for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{Folder, run};

#[test]
fn the_version_names_the_commit_and_the_plugin() {
    let folder = Folder::new();
    let built = run(&["build", "--output", folder.0.to_str().unwrap()], "");
    let digest = built.stdout.lines().find_map(|line| line.trim().strip_prefix("sha256")).unwrap().trim().to_owned();

    let (short, long) = (run(&["-V"], ""), run(&["--version"], ""));
    assert_eq!((short.code, long.code), (Some(0), Some(0)));
    let first = short.stdout.trim_end();
    let rest = first.strip_prefix(concat!("weir ", env!("CARGO_PKG_VERSION"), " (")).unwrap();
    let commit = rest.strip_suffix(&format!(", plugin sha256:{})", &digest[..12])).unwrap();
    let hash = commit.strip_suffix("-dirty").unwrap_or(commit);
    assert!(hash == "unknown" || (hash.len() == 7 && is_hexadecimal(hash)), "{first}");

    let lines: Vec<&str> = long.stdout.lines().collect();
    assert_eq!(lines[0], first);
    let full = lines[1].strip_prefix("commit   ").unwrap();
    assert!(full.starts_with(hash) && full.ends_with(commit.strip_prefix(hash).unwrap()), "{full}");
    assert!(lines[2].starts_with(&format!("plugin   sha256:{digest}, ")), "{}", lines[2]);
    assert!(lines[3].starts_with("envoy    made for 1."), "{}", lines[3]);
    assert_eq!(lines.len(), 4);
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Makes a workspace, without git.
fn workspace(root: &Path) {
    fs::create_dir_all(root.join("cli/src")).unwrap();
    fs::write(root.join("cli/src/main.rs"), "").unwrap();
    fs::write(root.join("README.md"), "").unwrap();
}

/// `build.rs`, compiled, and a workspace for it to look at.
struct Script {
    folder: Folder,
    program: PathBuf,
    root: PathBuf,
}

impl Script {
    fn new() -> Script {
        let folder = Folder::new();
        let program = folder.0.join("script");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let compiled = Command::new("rustc").args(["--edition", "2024", "-o"]).arg(&program).arg(source).status();
        assert!(compiled.unwrap().success());
        let root = folder.0.join("checkout");
        Script { folder, program, root }
    }

    /// A workspace that is a checkout of its own.
    fn with_checkout() -> Script {
        let script = Script::new();
        workspace(&script.root);
        script.git(&["init", "--quiet"]);
        script.git(&["add", "."]);
        script.commit();
        script
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]);
        let output = git.args(arguments).current_dir(&self.root).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) {
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "a commit"]);
    }

    fn run(&self, root: &Path, commit: &str) -> Output {
        let mut command = Command::new(&self.program);
        command.env("CARGO_MANIFEST_DIR", root.join("cli")).env("WEIR_COMMIT", commit).current_dir(&self.folder.0);
        command.output().unwrap()
    }

    /// What it says at `root`: the short and the long form.
    fn says(&self, root: &Path, commit: &str) -> (String, String) {
        let output = self.run(root, commit);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let value = |name: &str| {
            let prefix = format!("cargo::rustc-env={name}=");
            text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
        };
        (value("WEIR_COMMIT_SHORT"), value("WEIR_COMMIT_LONG"))
    }

    /// What of git's folder it watches.
    fn watches(&self, root: &Path) -> Vec<PathBuf> {
        let text = String::from_utf8(self.run(root, "").stdout).unwrap();
        let paths = text.lines().filter_map(|line| line.strip_prefix("cargo::rerun-if-changed="));
        paths.filter(|path| path.contains("/.git/")).map(PathBuf::from).collect()
    }
}

#[test]
fn the_commit_is_that_of_the_checkout() {
    let script = Script::with_checkout();
    let root = &script.root;
    let commit = script.git(&["rev-parse", "HEAD"]);
    let clean = (commit[..7].to_owned(), commit.clone());
    assert_eq!(script.says(root, ""), clean);

    // What does not end up in the binary does not make it another one.
    fs::write(root.join("README.md"), "changed").unwrap();
    assert_eq!(script.says(root, ""), clean);
    let dirty = (format!("{}-dirty", &commit[..7]), format!("{commit}-dirty"));
    fs::write(root.join("cli/src/main.rs"), "changed").unwrap();
    assert_eq!(script.says(root, ""), dirty);
    script.git(&["checkout", "--quiet", "cli"]);
    fs::write(root.join("cli/src/new.rs"), "").unwrap();
    assert_eq!(script.says(root, ""), dirty);
}

#[test]
fn a_worktree_names_its_own_commit() {
    let script = Script::with_checkout();
    let worktree = script.folder.0.join("worktree");
    script.git(&["worktree", "add", "--quiet", "-b", "other", worktree.to_str().unwrap()]);
    let commit = script.git(&["rev-parse", "HEAD"]);
    script.commit();
    assert_ne!(script.git(&["rev-parse", "HEAD"]), commit);
    assert_eq!(script.says(&worktree, "").1, commit);
}

#[test]
fn sources_without_git_are_of_no_commit_unless_one_is_named() {
    let script = Script::new();
    workspace(&script.root);
    let unknown = ("unknown".to_owned(), "unknown".to_owned());
    assert_eq!(script.says(&script.root, ""), unknown);
    let named = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(script.says(&script.root, named), ("0123456".to_owned(), named.to_owned()));
    for wrong in ["v1.0", "abc", "0123456\n", "--help"] {
        assert!(!script.run(&script.root, wrong).status.success(), "{wrong:?}");
    }
    // An archive unpacked inside of somebody else's repository.
    let script = Script::with_checkout();
    let inner = script.root.join("unpacked");
    workspace(&inner);
    assert_eq!(script.says(&inner, ""), unknown);
}

/// Cargo runs a script again when a file that it watches is newer than its output, and always when one is missing.
#[test]
fn a_commit_is_noticed_and_nothing_is_watched_in_vain() {
    let script = Script::with_checkout();
    let changes = |script: &Script| {
        let modified = |path: &PathBuf| (fs::metadata(path).unwrap().modified().unwrap(), fs::read(path).unwrap());
        script.watches(&script.root).iter().map(modified).collect::<Vec<_>>()
    };
    let before = changes(&script);
    assert!(!before.is_empty());
    assert_eq!(changes(&script), before, "the script itself changes nothing");
    script.commit();
    assert_ne!(changes(&script), before);

    // The same with a branch that has no file of its own.
    script.git(&["pack-refs", "--all"]);
    let packed = changes(&script);
    script.commit();
    assert_ne!(changes(&script), packed);
}
