//! Builds the plugin that this crate embeds, by the crate in `build/`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use weir_module_build::{Built, SOURCES, build};

fn main() -> Result<(), Box<dyn Error>> {
    let own = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = own.parent().ok_or("the crate has no workspace around it")?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    // The nested build has its own target folder, because the outer cargo, which runs this, locks its own.
    let built = build(root, &out.join("target"))?;
    let path = out.join("weir.wasm");
    fs::write(&path, &built.bytes)?;
    fs::write(out.join("weir.rs"), constants(&path, &built)?)?;
    Ok(())
}

/// What `src/lib.rs` includes.
fn constants(path: &Path, built: &Built) -> Result<String, Box<dyn Error>> {
    let path = path.to_str().ok_or("the target folder's path is not UTF-8")?;
    let mut text = String::new();
    writeln!(text, "/// The module.\npub static WASM: &[u8] = include_bytes!({path:?});")?;
    writeln!(text, "/// The module's path in this build, for tests: a binary that was moved only has [`WASM`].")?;
    writeln!(text, "pub const PATH: &str = {path:?};")?;
    writeln!(text, "/// Its SHA-256 in hexadecimal digits.\npub const SHA256: &str = {:?};", built.sha256)?;
    writeln!(
        text,
        "/// The functions that Envoy can call, sorted.\npub const EXPORTS: &[&str] = &{:?};",
        built.exports
    )?;
    writeln!(text, "/// Envoy's functions that the module can call, sorted; all in its import module `env`.")?;
    writeln!(text, "pub const IMPORTS: &[&str] = &{:?};", built.imports)?;
    Ok(text)
}
