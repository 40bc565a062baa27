//! Builds `dist/weir.wasm` from this workspace, or finds one that is already built.
//!
//! The build must not depend on the folder it happens in, on the user's cargo folder or on flags in the environment: the
//! same sources and the same compiler give the same bytes everywhere. It must never show half a module to a second build
//! or to an Envoy that is just starting.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::ecds;
use crate::error::{Error, Result};
use crate::wasm;

const TARGET: &str = "wasm32-unknown-unknown";

/// Half of the linker's default, still many times what the deepest document takes. The stack lies before the data, whose
/// addresses take a byte less each below 1 MiB. Overflowing it traps.
const STACK: &str = "-Clink-arg=-zstack-size=524288";

/// A plugin that can be loaded.
#[derive(Clone, Debug)]
pub struct Plugin {
    path: PathBuf,
}

/// What a build made.
#[derive(Clone, Debug)]
pub struct Built {
    /// `dist/weir.wasm` of the workspace.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: usize,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// What Envoy can call, sorted.
    pub exports: Vec<String>,
    /// What it can call of Envoy, sorted; all in module `env`.
    pub imports: Vec<String>,
}

impl Plugin {
    /// The module that `WEIR_PLUGIN` names, or else this workspace's own, built when it has to be. A process builds once.
    ///
    /// # Errors
    /// `WEIR_PLUGIN` names no file, there is no workspace around, or its build fails.
    pub fn locate() -> Result<Self> {
        static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
        if let Some(path) = env::var_os("WEIR_PLUGIN").filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            if !path.is_file() {
                return Err(Error::Plugin(format!("WEIR_PLUGIN names {}, which is no file", path.display())));
            }
            return Ok(Self { path });
        }
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let path = match &*built {
            Some(path) => path.clone(),
            None => built.insert(Self::build(&source_root()?)?.path).clone(),
        };
        Ok(Self { path })
    }

    /// Builds the workspace at `root` into its `dist/weir.wasm`. Tells on standard error what takes time.
    ///
    /// # Errors
    /// The wasm target is missing and cannot be added, the compiler refuses the sources, or the module asks for more
    /// than `filter.yaml` allows.
    pub fn build(root: &Path) -> Result<Built> {
        let root = &fs::canonicalize(root).map_err(|e| Error::file("finding", root, e))?;
        let target_dir = root.join("target/plugin");
        fs::create_dir_all(&target_dir).map_err(|e| Error::file("creating", &target_dir, e))?;
        let lock_path = target_dir.join(".weir-lock");
        let lock = fs::File::create(&lock_path).map_err(|e| Error::file("creating", &lock_path, e))?;
        lock.lock().map_err(|e| Error::file("locking", &lock_path, e))?;

        ensure_target(root)?;
        compile(root, &target_dir)?;
        let compiled = target_dir.join(TARGET).join("plugin/weir_filter.wasm");
        let compiled = fs::read(&compiled).map_err(|e| Error::file("reading", &compiled, e))?;
        let finished = wasm::finish(&compiled)?;
        let dist = root.join("dist");
        fs::create_dir_all(&dist).map_err(|e| Error::file("creating", &dist, e))?;
        let path = dist.join("weir.wasm");
        if fs::read(&path).ok().as_deref() != Some(&finished.bytes) {
            ecds::replace(&path, &finished.bytes)?;
        }
        Ok(Built {
            path,
            size: finished.bytes.len(),
            sha256: finished.sha256,
            exports: finished.exports,
            imports: finished.imports,
        })
    }

    /// The module.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The workspace that the current folder, or else the crate that runs, is in.
///
/// # Errors
/// There is none.
pub fn source_root() -> Result<PathBuf> {
    let starts = [
        env::current_dir().ok(),
        env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from),
        Some(PathBuf::from(env!("CARGO_MANIFEST_DIR"))),
    ];
    let is_root = |folder: &&Path| folder.join("filter/Cargo.toml").is_file() && folder.join("Cargo.lock").is_file();
    starts.iter().flatten().find_map(|start| start.ancestors().find(is_root)).map(Path::to_owned).ok_or_else(|| {
        Error::Plugin(
            "there is no plugin: set WEIR_PLUGIN to the path of a weir.wasm, or run this inside Weir's source folder, \
                 where it is built"
                .into(),
        )
    })
}

fn ensure_target(root: &Path) -> Result<()> {
    if has_target(root) {
        return Ok(());
    }
    eprintln!("weir: adding the compiler's {TARGET} target by rustup, once ...");
    let advice = format!(
        "the plugin needs the compiler's {TARGET} target: run `rustup target add {TARGET}` in {}",
        root.display()
    );
    match Command::new("rustup").args(["target", "add", TARGET]).current_dir(root).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() && has_target(root) => Ok(()),
        Ok(output) => Err(Error::Plugin(format!("{advice}\nIt failed here:\n{}", last_lines(&output.stderr)))),
        Err(e) => Err(Error::Plugin(format!(
            "{advice}\nThere is no rustup here ({e}); a compiler of your distribution may have a package for that target"
        ))),
    }
}

/// Whether the compiler that cargo will use in `root` has the target's libraries.
fn has_target(root: &Path) -> bool {
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

fn compile(root: &Path, target_dir: &Path) -> Result<()> {
    let before = flags(root);
    compile_with(&before, root, target_dir)?;
    // The first build of all unpacks the registry's sources, and only then their folder is known.
    let after = flags(root);
    if after == before { Ok(()) } else { compile_with(&after, root, target_dir) }
}

fn compile_with(flags: &[String], root: &Path, target_dir: &Path) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(&cargo);
    command
        .args(["rustc", "--quiet", "--locked", "--profile", "plugin", "-p", "weir-filter", "--lib"])
        // Beside an rlib, which the tests need, Cargo leaves out the link-time optimisation that the profile asks for.
        .args(["--crate-type", "cdylib"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .current_dir(root)
        // A user's own flags would change the bytes.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_INCREMENTAL", "0")
        .stdin(Stdio::null());
    let output = told_when_slow("weir: building the plugin ...", command)
        .map_err(|e| Error::Plugin(format!("the plugin is built by cargo, which does not start: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Plugin(format!("the plugin's build failed:\n{}", last_lines(&output.stderr))))
}

/// Paths end up in a module as the places of panics. They are replaced by what is the same on every machine.
fn flags(root: &Path) -> Vec<String> {
    let mut flags = vec![remap(root, "/weir"), STACK.to_owned()];
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    // Each registry or mirror has a folder of its own, named by its address.
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

/// Runs `command`, and says `what` if it takes longer than a moment.
fn told_when_slow(what: &'static str, mut command: Command) -> std::io::Result<Output> {
    let (done, is_done) = mpsc::channel::<()>();
    let teller = thread::spawn(move || {
        if is_done.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{what}");
        }
    });
    let output = command.output();
    drop(done);
    let _ = teller.join();
    output
}

fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(60);
    lines.get(from..).unwrap_or_default().join("\n")
}
