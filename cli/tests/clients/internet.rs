//! A small internet: a network namespace in which public names lead to a local origin, with certificates that this
//! namespace's system trusts. `weir run` inside it is unchanged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use weir_envoy::Binary;
use weir_tests::skipped;

/// The names that lead to the origin.
const NAMES: [&str; 9] = [
    "pypi.org",
    "files.pythonhosted.org",
    "registry.npmjs.org",
    "index.crates.io",
    "static.crates.io",
    "crates.io",
    "github.com",
    "evil.example",
    "example.com",
];

/// The system files that the namespace replaces.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The tools needed besides a shell: without them the test reports what is missing and fails.
const SETUP: &str = r#"
set -eu
ip link set lo up
mount --bind "$INTERNET/hosts" /etc/hosts
mount --bind "$INTERNET/roots.pem" "$ROOTS"
python3 "$ORIGIN" "$INTERNET/origin.pem" "$INTERNET/origin.key" "$INTERNET" 2> "$INTERNET/origin.log" &
origin=$!
trap 'kill $origin' EXIT
for _ in $(seq 100); do [ -e "$INTERNET/ready" ] && break; sleep 0.1; done
[ -e "$INTERNET/ready" ] || { echo "the origin did not start:"; cat "$INTERNET/origin.log"; exit 99; } >&2
cd "$INTERNET/home"
"#;

/// A small internet, removed when this is dropped.
pub(crate) struct Internet {
    folder: TempDir,
}

/// The result of a script.
pub(crate) struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// What the origin received: `METHOD host/path`.
    pub received: Vec<String>,
}

impl Internet {
    /// Starts one with this policy in `$POLICY`.
    pub(crate) fn new(policy: &str) -> Internet {
        let folder = tempfile::tempdir().expect("a folder");
        let internet = Internet { folder };
        let write = |name: &str, text: &str| fs::write(internet.path(name), text).expect("a file");
        write("hosts", &format!("127.0.0.1 localhost\n127.0.0.2 {}\n", NAMES.join(" ")));
        let (roots, certificate, key) = certificates();
        write("roots.pem", &roots);
        write("origin.pem", &certificate);
        write("origin.key", &key);
        write("policy.json", policy);
        for name in ["home", "repositories"] {
            fs::create_dir(internet.path(name)).expect("a folder");
        }
        internet
    }

    /// A file of this internet; `home` is its home folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a shell script in it; `$RUN` stands for `weir run` with the policy.
    pub(crate) fn run(&self, script: &str) -> Ran {
        let run = format!(
            "{} run --policy {} --allow-upstream 127.0.0.2/32",
            env!("CARGO_BIN_EXE_weir"),
            self.path("policy.json").display()
        );
        // Found outside, because inside there is neither a home nor a network.
        let binary = Binary::find().expect("Envoy");
        let output: Output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "--net", "--", "bash", "-c"])
            .arg(format!("{SETUP}\n{script}"))
            .env("WEIR_PLUGIN", weir_tests::proxy::plugin_file())
            .env("WEIR_ENVOY", binary.path())
            .env("INTERNET", self.folder.path())
            .env("ROOTS", ROOTS)
            .env("ORIGIN", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/origin.py"))
            .env("RUN", run)
            .env("REAL_HOME", std::env::var_os("HOME").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("XDG_DATA_HOME", self.path("home/data"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("unshare, of util-linux");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let received = fs::read_to_string(self.path("received")).unwrap_or_default();
        let _ = fs::write(self.path("received"), "");
        let _ = fs::remove_file(self.path("ready"));
        Ran {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            received: received.lines().map(received_in_words).collect(),
        }
    }
}

fn received_in_words(line: &str) -> String {
    let request: Value = serde_json::from_str(line).expect("a line of the origin");
    let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
    format!("{} {}{}", text("method"), text("host"), text("path"))
}

/// A root, and a certificate for every name that it signed, with its key (PEM).
fn certificates() -> (String, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let root_key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::new(Vec::new()).expect("parameters");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "root of the client tests");
    let root_certificate = root.self_signed(&root_key).expect("a root");
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let leaf = CertificateParams::new(names).expect("names");
    let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).expect("a certificate");
    (root_certificate.pem(), leaf.pem(), key.serialize_pem())
}

/// A Python with these packages, made once by pip and kept in `target`.
pub(crate) fn python_with(packages: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = folder.join("bin/python");
    let runs = |mut command: Command| command.output().is_ok_and(|output| output.status.success());
    let import = |python: &Path| {
        let mut command = Command::new(python);
        command.args(["-c", "import requests, httpx, h2"]);
        runs(command)
    };
    if !import(&python) {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&folder);
        assert!(runs(venv), "python3 -m venv failed: install Python 3 with venv");
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
        assert!(runs(pip), "pip cannot install {packages:?}");
    }
    python
}

/// Whether this machine has everything that a test needs besides this repository; reports what is missing.
pub(crate) fn has(tools: &[&str]) -> bool {
    let runs = |tool: &str, arguments: &[&str]| {
        Command::new(tool).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if !runs("unshare", &["--user", "--map-root-user", "--mount", "--net", "--", "ip", "link", "set", "lo", "up"]) {
        skipped(
            "real clients need namespaces of their own: install util-linux and iproute2, and let users make user \
             namespaces (in a container: run it with --privileged, or --cap-add SYS_ADMIN --security-opt seccomp=unconfined)",
        );
        return false;
    }
    let missing: Vec<&&str> = tools.iter().filter(|tool| !runs(tool, &["--version"])).collect();
    if !missing.is_empty() {
        skipped(format_args!("{missing:?} is not here; install it to test it as a client"));
    }
    missing.is_empty()
}
