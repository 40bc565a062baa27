//! `weir build`: `dist/weir.wasm`, and what is in it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use weir_envoy::{Built, Plugin, plugin};

use crate::exit::Exit;
use crate::terminal::{FAINT, STRONG, data, mistake, paint};

const EXAMPLES: &str = "\
Examples:
  weir build                      writes dist/weir.wasm
  weir build --out /etc/envoy     writes it there too

The same sources and compiler give the same bytes in every folder. Exit code: 0 built, 1 not built.";

/// Build the plugin for Envoy, dist/weir.wasm, and print what it is
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Build {
    /// Folder to copy weir.wasm to
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Build {
    pub(crate) fn run(&self) -> Exit {
        let built = match plugin::source_root().and_then(|root| Plugin::build(&root)) {
            Ok(built) => built,
            Err(error) => {
                mistake(error);
                return Exit::Failure;
            }
        };
        let path = match &self.out {
            None => built.path.clone(),
            Some(folder) => match copy(&built.path, folder) {
                Ok(path) => path,
                Err(error) => {
                    mistake(format_args!("writing weir.wasm to {}: {error}", folder.display()));
                    return Exit::Failure;
                }
            },
        };
        print(&path, &built);
        Exit::Success
    }
}

/// Copies the module beside its place and renames it: an Envoy that starts meanwhile sees all of it
/// or the old one.
fn copy(module: &Path, folder: &Path) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join("weir.wasm");
    let beside = folder.join(format!(".weir.wasm.{}", std::process::id()));
    let copied = fs::copy(module, &beside).and_then(|_| fs::rename(&beside, &path));
    if copied.is_err() {
        let _ = fs::remove_file(&beside);
    }
    copied.map(|()| path)
}

fn print(path: &Path, built: &Built) {
    let line = |name: &str, text: &str| data(format_args!("  {} {text}", paint(FAINT, format_args!("{name:8}"))));
    data(paint(STRONG, path.display()));
    line("size", &format!("{} bytes", built.size));
    line("sha256", &built.sha256);
    line("exports", &built.exports.join(" "));
    line("imports", &built.imports.join(" "));
}
