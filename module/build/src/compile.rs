//! Runs cargo for the module, with flags that make the bytes the same on every machine.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result, last_lines};
use crate::target::TARGET;

/// Half of the linker's default, still many times what the deepest document needs. The stack lies before the data, and
/// each data address below 1 MiB takes a byte less. An overflow traps.
const STACK: &str = "-Clink-arg=-zstack-size=524288";

/// Compiles `filter/` and returns the path of the linker's output.
pub(crate) fn compile(root: &Path, target_dir: &Path) -> Result<PathBuf> {
    let before = flags(root);
    compile_with(&before, root, target_dir)?;
    // The first build on a machine unpacks the registry's sources; their folder is known only afterwards.
    let after = flags(root);
    if after != before {
        compile_with(&after, root, target_dir)?;
    }
    Ok(target_dir.join(TARGET).join("plugin/weir_filter.wasm"))
}

fn compile_with(flags: &[String], root: &Path, target_dir: &Path) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .args(["rustc", "--quiet", "--locked", "--profile", "plugin", "-p", "weir-filter", "--lib"])
        // With an rlib as a second crate type, which the tests need, Cargo ignores the profile's link-time
        // optimisation.
        .args(["--crate-type", "cdylib"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .current_dir(root)
        .stdin(Stdio::null());
    // Settings of the outer build (flags, profiles, clippy as the compiler) would change the bytes.
    let foreign = |name: &str| {
        name.starts_with("CARGO_PROFILE_") || name.starts_with("CARGO_BUILD_") || name.starts_with("CARGO_FEATURE_")
    };
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(foreign)) {
        command.env_remove(name);
    }
    for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")).env("CARGO_INCREMENTAL", "0");
    let output = command.output().map_err(Error::file("starting", Path::new("cargo")))?;
    if output.status.success() { Ok(()) } else { Err(Error::Compile(last_lines(&output.stderr))) }
}

/// A module contains source paths as panic locations. They are replaced by paths that are equal on every machine.
fn flags(root: &Path) -> Vec<String> {
    let mut flags = vec![remap(root, "/weir"), STACK.to_owned()];
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    // Each registry or mirror has its own folder, named by its address.
    if let Some(home) = home {
        let sources = home.join("registry/src");
        let mut registries: Vec<PathBuf> =
            fs::read_dir(&sources).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        registries.sort();
        flags.extend(registries.iter().map(|registry| remap(registry, "/registry")));
    }
    flags
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}
