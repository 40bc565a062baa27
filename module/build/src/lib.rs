//! Builds `weir.wasm`: compiles `filter/` for wasm32 and reduces the result to what Envoy needs.
//!
//! It runs at build time only. It must not depend on the folder of the build, on the user's cargo folder or on flags in
//! the environment: the same sources and the same compiler give the same bytes everywhere. It builds the given sources
//! and must never search for any, least of all in the current folder.

mod built;
mod compile;
mod error;
mod finish;
mod surface;
mod target;

use std::fs;
use std::path::Path;

pub use built::Built;
pub use error::{Error, Result};
pub use surface::{CALLBACKS, CALLS};

/// The sources of the module: files and folders below the workspace's root.
pub const SOURCES: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "filter/Cargo.toml",
    "filter/src",
    "module/build/src",
    "policy/Cargo.toml",
    "policy/build.rs",
    "policy/src",
    "presets",
    "rust-toolchain.toml",
];

/// Builds the workspace at `root`, with `target` as the compiler's output folder.
///
/// # Errors
/// The wasm target is missing and cannot be added, the compiler rejects the sources, or the module's exports or imports
/// are not the allowed ones.
pub fn build(root: &Path, target: &Path) -> Result<Built> {
    let root = fs::canonicalize(root).map_err(Error::file("finding", root))?;
    fs::create_dir_all(target).map_err(Error::file("creating", target))?;
    target::ensure(&root)?;
    let compiled = compile::compile(&root, target)?;
    let compiled = fs::read(&compiled).map_err(Error::file("reading", &compiled))?;
    finish::finish(&compiled)
}
