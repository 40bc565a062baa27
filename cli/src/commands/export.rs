//! `weir export` and `weir build`: the plugin and the files that people copy, out of this binary.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use weir_envoy::{replace, shipped};

use crate::console::exit::Exit;
use crate::console::terminal::{FAINT, STRONG, data, mistake, paint, words};
use crate::proxy;

const EXPORT: &str = "\
Examples:
  weir export weir                    writes weir/weir.wasm, weir/forward-proxy.yaml and the rest
  weir export --output /etc/envoy     where the configurations look for the plugin and its policy

A file that exists and differs is kept and named; --force replaces it.

Exit code: 0 written, 1 not all written, 2 a mistake in the command line.";

const BUILD: &str = "\
Examples:
  weir build                          writes dist/weir.wasm
  weir build --output /etc/envoy      writes it there

The plugin is part of this binary: the same sources and compiler give the same bytes everywhere.

Exit code: 0 written, 1 not written, 2 a mistake in the command line.";

/// Write the plugin and everything that goes with it: Envoy configurations, manifests, firewall rules
#[derive(Debug, Args)]
#[command(after_help = EXPORT)]
pub(crate) struct Export {
    /// Folder to write to; created if needed
    #[arg(value_name = "DIR", required_unless_present = "output", conflicts_with = "output")]
    folder: Option<PathBuf>,
    /// The same as DIR
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Replace files that exist and differ
    #[arg(long)]
    force: bool,
}

/// Write the plugin alone, dist/weir.wasm, and print its size, digest, exports and imports
#[derive(Debug, Args)]
#[command(after_help = BUILD)]
pub(crate) struct Build {
    /// Folder to write weir.wasm to; created if needed
    #[arg(long, short, value_name = "DIR", default_value = "dist", alias = "out")]
    output: PathBuf,
}

impl Export {
    pub(crate) fn run(&self) -> Exit {
        let plugin = match proxy::plugin() {
            Ok(plugin) => plugin,
            Err(error) => {
                mistake(error);
                return Exit::Failure;
            }
        };
        let texts = shipped::FILES.iter().map(|file| (file.name, file.text.as_bytes(), file.is_executable));
        let mut exit = Exit::Success;
        // One of the two is there: the command line has been read.
        let folder = self.folder.iter().chain(&self.output).next().map_or(Path::new("."), PathBuf::as_path);
        for (name, bytes, is_executable) in std::iter::once(("weir.wasm", plugin.bytes(), false)).chain(texts) {
            let path = folder.join(name);
            match self.write(&path, bytes, is_executable) {
                Ok(true) => data(path.display()),
                Ok(false) => {
                    words(format_args!("{} exists, differs and was kept; --force replaces it", path.display()));
                    exit = Exit::Failure;
                }
                Err(error) => {
                    mistake(error);
                    return Exit::Failure;
                }
            }
        }
        exit
    }

    /// Writes one file; `false` where another one is there that is to be kept.
    fn write(&self, path: &Path, bytes: &[u8], is_executable: bool) -> Result<bool, String> {
        match fs::read(path) {
            Ok(found) if found == bytes => return Ok(true),
            Ok(_) if !self.force => return Ok(false),
            // One that cannot be read may differ.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !self.force => return Ok(false),
            _ => {}
        }
        write(path, bytes)?;
        if is_executable {
            make_executable(path).map_err(|error| format!("making {} executable: {error}", path.display()))?;
        }
        Ok(true)
    }
}

impl Build {
    pub(crate) fn run(&self) -> Exit {
        let path = self.output.join("weir.wasm");
        match write(&path, weir_module::WASM) {
            Ok(()) => print(&path),
            Err(error) => {
                mistake(error);
                return Exit::Failure;
            }
        }
        Exit::Success
    }
}

/// An Envoy that starts meanwhile sees all of a file or the old one.
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| format!("cannot create the folder {}: {error}", folder.display()))?;
    replace(path, bytes).map_err(|error| error.to_string())
}

fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn print(path: &Path) {
    let line = |name: &str, text: &str| data(format_args!("  {} {text}", paint(FAINT, format_args!("{name:8}"))));
    data(paint(STRONG, path.display()));
    line("size", &format!("{} bytes", weir_module::WASM.len()));
    line("sha256", weir_module::SHA256);
    line("exports", &weir_module::EXPORTS.join(" "));
    line("imports", &weir_module::IMPORTS.join(" "));
}
