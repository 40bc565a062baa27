//! The binary as its users see it: exit codes, standard output, standard error. These tests use nothing internal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod alone;
mod ca;
mod check;
mod demo;
mod described;
mod docs;
mod examples;
mod explain;
mod filter;
mod formats;
mod help;
mod init;
mod package;
mod planted;
mod process;
mod run;
mod up;
mod version;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Every command that is not hidden.
const COMMANDS: [&str; 15] = [
    "demo",
    "init",
    "check",
    "explain",
    "up",
    "run",
    "export",
    "build",
    "filter",
    "package",
    "ca",
    "issuer",
    "schema",
    "completions",
    "man",
];

/// The binary, without colour and without a developer's environment. It also resets ignored signals, which children
/// inherit: `nohup` ignores one, a shell's `&` two more.
fn weir() -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,QUIT,TERM", env!("CARGO_BIN_EXE_weir")]);
    for variable in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "WEIR_POLICY"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the binary with `arguments` and `stdin`.
fn run(arguments: &[&str], stdin: &str) -> Ran {
    let mut child = weir()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weir starts");
    // It may exit before it has read everything.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    Ran::from(child.wait_with_output().expect("weir ends"))
}

/// Its exit.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).expect("standard output is JSON")
    }
}

/// A folder that is removed at the end of a test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("cli-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    /// Writes a file; returns its path.
    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
