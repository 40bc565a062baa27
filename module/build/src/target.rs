//! Installs the compiler's libraries for wasm32. rustup does so by itself only where it may install what
//! `rust-toolchain.toml` lists.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result, last_lines};

/// The target, without WASI, so that the module imports nothing but Envoy's ABI.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Has rustup add the target if the compiler that cargo uses in `root` lacks it.
pub(crate) fn ensure(root: &Path) -> Result<()> {
    if is_here(root) {
        return Ok(());
    }
    let advice = format!(
        "the plugin needs the compiler's {TARGET} target: run `rustup target add {TARGET}` in {}",
        root.display()
    );
    match Command::new("rustup").args(["target", "add", TARGET]).current_dir(root).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() && is_here(root) => Ok(()),
        Ok(output) => Err(Error::Target(format!("{advice}\nIt failed here:\n{}", last_lines(&output.stderr)))),
        Err(e) => Err(Error::Target(format!(
            "{advice}\nThere is no rustup here ({e}); a compiler of your distribution may have a package for that target"
        ))),
    }
}

fn is_here(root: &Path) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(root)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else { return false };
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let Ok(files) = fs::read_dir(folder) else { return false };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
}
