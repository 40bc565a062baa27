//! Makes `weir.wasm`: compiles `filter/` for wasm32, strips the result and holds it to what Envoy may see of it.
//!
//! Part of the build, not of what runs. It must not depend on the folder it happens in, on the user's cargo folder or on
//! flags in the environment: the same sources and the same compiler give the same bytes everywhere. It builds the sources
//! that it is given and never looks for any, in the current folder least of all.

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

/// What of the workspace the module is made of: files and folders below its root.
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

/// Builds the workspace at `root`, with `target` as the folder for what the compiler writes.
///
/// # Errors
/// The wasm target is missing and cannot be added, the compiler refuses the sources, or the module exports or imports what
/// it must not.
pub fn build(root: &Path, target: &Path) -> Result<Built> {
    let root = fs::canonicalize(root).map_err(Error::file("finding", root))?;
    fs::create_dir_all(target).map_err(Error::file("creating", target))?;
    target::ensure(&root)?;
    let compiled = compile::compile(&root, target)?;
    let compiled = fs::read(&compiled).map_err(Error::file("reading", &compiled))?;
    finish::finish(&compiled)
}
