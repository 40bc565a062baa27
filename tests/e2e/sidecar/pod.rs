//! A pod with the sidecar, and the internet around it: network namespaces, the shipped `redirect.sh` and the shipped
//! `sidecar.yaml`, unchanged and at the paths of `docs/sidecar.md`.
//!
//! Nothing in the pod has proxy settings: the same programs run as in production, as the same users.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use weir_envoy::{Binary, Configuration, ecds};
use weir_tests::proxy::{ok, plugin};
use weir_tests::skipped;

/// The agent's user and Envoy's, as in `envoy/kubernetes/pod.yaml`.
pub(crate) const AGENT: u32 = 1000;
pub(crate) const PROXY: u32 = 1337;

const LIMIT: Duration = Duration::from_secs(30);
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy");

/// The addresses of names. 20.0.0.1 is the origin, 20.0.0.2 an unrelated server, 20.0.0.53 an unrelated name server.
const NAMES: &str = r#"{
    "example.com": ["20.0.0.1", "2600:1::1"],
    "evil.example": ["20.0.0.2", "2600:1::2"],
    "inside.example.com": ["10.1.0.1"],
    "metadata.example.com": ["169.254.169.254"],
    "cut.example.com": ["20.0.0.3"],
    "self": ["20.0.0.53"]
}"#;

/// A pod, removed when this is dropped.
pub(crate) struct Pod {
    folder: TempDir,
    /// The process that holds the namespaces; it ends when its input does.
    holder: Child,
    /// A process in the namespaces.
    inside: String,
    envoy: Option<Child>,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Pod {
    /// A new pod; `None` if this machine cannot run one, after reporting what is missing.
    pub(crate) fn new(policy: &str) -> Option<Pod> {
        if !possible() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        // Two other users read its files.
        set_mode(folder.path(), 0o755);
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a file");
        fs::create_dir(folder.path().join("etc")).expect("a folder");
        write("names", NAMES.as_bytes());
        let key = KeyPair::generate().expect("a key");
        let names = ["example.com", "evil.example", "inside.example.com"].map(str::to_owned);
        let certificate = CertificateParams::new(names).expect("names").self_signed(&key).expect("a certificate");
        write("origin.pem", certificate.pem().as_bytes());
        write("origin.key", key.serialize_pem().as_bytes());
        write("etc/sidecar.yaml", &fs::read(format!("{SHIPPED}/sidecar.yaml")).expect("sidecar.yaml"));
        write("etc/weir.wasm", plugin().bytes());

        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/sidecar");
        // The programs that other users run, who may not be able to enter the checkout.
        for script in [Path::new(SHIPPED).join("redirect.sh"), source.join("attacker.py")] {
            fs::copy(&script, folder.path().join(script.file_name().expect("a file"))).expect("a script");
        }
        let mut holder = namespaces()
            .args(["--", "bash"])
            .arg(source.join("pod.sh"))
            .env("POD", folder.path())
            .env("SOURCE", &source)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare, of util-linux");
        let mut line = String::new();
        let said = holder.stdout.take().expect("piped");
        BufReader::new(said).read_line(&mut line).expect("a pipe");
        assert_eq!(line, "ready\n", "pod.sh failed earlier");
        let children = format!("/proc/{0}/task/{0}/children", holder.id());
        let inside = fs::read_to_string(children).expect("a child").trim().to_owned();
        let pod = Pod { folder, holder, inside, envoy: None };
        pod.write_policy(policy);
        Some(pod)
    }

    /// A pod with the rules and Envoy in place, as when the agent's container starts.
    pub(crate) fn started(policy: &str) -> Option<Pod> {
        let mut pod = Pod::new(policy)?;
        pod.redirect(&[]);
        pod.start_envoy();
        Some(pod)
    }

    /// Runs `redirect.sh` as the init container does; it must succeed.
    pub(crate) fn redirect(&self, arguments: &[&str]) -> String {
        let ran = self.redirect_may_fail(arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    }

    /// Runs `redirect.sh` as the init container does.
    pub(crate) fn redirect_may_fail(&self, arguments: &[&str]) -> Ran {
        let mut command = self.enter();
        command.arg(self.path("redirect.sh")).args(arguments);
        run(command)
    }

    /// Starts Envoy as the sidecar's container does, and waits until it reports that it is ready.
    pub(crate) fn start_envoy(&mut self) {
        let log = fs::File::create(self.path("envoy.log")).expect("a file");
        let access = fs::OpenOptions::new().append(true).create(true).open(self.path("access.log")).expect("a file");
        let mut command = self.enter();
        command
            .args(["setpriv", "--reuid", &PROXY.to_string(), "--regid", &PROXY.to_string(), "--clear-groups"])
            .args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
            .args(["/run/envoy", "--config-path", "/etc/envoy/sidecar.yaml"])
            // By default Envoy flushes the access log only every ten seconds.
            .args(["--disable-hot-restart", "--concurrency", "2", "--file-flush-interval-msec", "50"])
            .stdin(Stdio::null())
            .stdout(access)
            .stderr(log);
        let mut envoy = command.spawn().expect("nsenter, of util-linux");
        self.wait_for("ready Envoy", || {
            let ended = envoy.try_wait().expect("a child").is_some();
            assert!(!ended, "Envoy ended:\n{}", fs::read_to_string(self.path("envoy.log")).unwrap_or_default());
            self.agent("curl -sf http://127.0.0.1:15021/ready").stdout == "ready\n"
        });
        self.envoy = Some(envoy);
    }

    /// Kills Envoy, as a crash or the kernel would.
    pub(crate) fn kill_envoy(&mut self) {
        if let Some(mut nsenter) = self.envoy.take() {
            // Envoy's process, not nsenter, which waits for it.
            let ran = self.as_root("pkill -KILL -u 1337 envoy");
            assert_eq!(ran.code, Some(0), "{ran:?}");
            nsenter.wait().expect("a child");
        }
    }

    /// Writes the policy into both of the sidecar's files, each by rename.
    pub(crate) fn write_policy(&self, policy: &str) {
        render(&self.path("etc"), policy);
    }

    /// Runs a line of shell as the agent, without any privilege.
    pub(crate) fn agent(&self, script: &str) -> Ran {
        self.as_user(AGENT, script)
    }

    /// Runs a line of shell as Envoy's user, who is exempt from the rules: it shows that a way out exists.
    pub(crate) fn proxy_user(&self, script: &str) -> Ran {
        self.as_user(PROXY, script)
    }

    /// Runs a line of shell as some user, without any privilege.
    pub(crate) fn as_user(&self, user: u32, script: &str) -> Ran {
        let user = user.to_string();
        let mut command = self.enter();
        command
            .args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"])
            .args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
            .args(["timeout", "20", "bash", "-c", script]);
        run(command)
    }

    /// Runs a line of shell as the machine's root, in the pod.
    pub(crate) fn as_root(&self, script: &str) -> Ran {
        let mut command = self.enter();
        command.args(["bash", "-c", script]);
        run(command)
    }

    /// Runs a line of shell outside the pod, on the internet's side.
    pub(crate) fn outside(&self, script: &str) -> Ran {
        let mut command = self.enter();
        command.args(["ip", "netns", "exec", "internet", "timeout", "20", "bash", "-c", script]);
        run(command)
    }

    /// The requests that arrived on the internet since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.arrived().into_iter().filter(|line| !line.ends_with(" connection")).collect()
    }

    /// What arrived on the internet since the last call: `where what`.
    pub(crate) fn arrived(&self) -> Vec<String> {
        let path = self.path("received");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let kept = self.path("received-before");
        let before: usize = fs::read_to_string(&kept).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        fs::write(kept, text.len().to_string()).expect("a file");
        let lines = text[before..].lines().map(|line| serde_json::from_str(line).expect("a line of internet.py"));
        lines
            .map(|line: Value| {
                format!("{} {}", line["at"].as_str().unwrap_or("?"), line["what"].as_str().unwrap_or("?"))
            })
            .filter(|line| !line.ends_with("asked for self"))
            .collect()
    }

    /// Waits for an audit record.
    pub(crate) fn record(&self, picks: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        self.wait_for("audit record", || {
            let log = fs::read_to_string(self.path("envoy.log")).unwrap_or_default();
            let records = log.lines().filter_map(|line| serde_json::from_str(line.split_once("weir: ")?.1).ok());
            found = records.into_iter().find(&picks);
            found.is_some()
        });
        found.expect("waited for")
    }

    /// Waits for a line of the access log.
    pub(crate) fn access(&self, picks: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        self.wait_for("line of the access log", || {
            let log = fs::read_to_string(self.path("access.log")).unwrap_or_default();
            found = log.lines().filter_map(|line| serde_json::from_str(line).ok()).find(&picks);
            found.is_some()
        });
        found.expect("waited for")
    }

    /// Waits until something holds.
    pub(crate) fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + LIMIT;
        while !holds() {
            let log = fs::read_to_string(self.path("envoy.log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(30).collect();
            assert!(Instant::now() < end, "no {what}; the end of Envoy's log, backwards:\n{}", last.join("\n"));
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A file of the test, visible inside and outside the pod.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in the pod, as root.
    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.inside, "--mount", "--net", "--pid"]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command
            .args(["--wd=/", "--"])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("ATTACKER", self.path("attacker.py"))
            .env("CURL_CA_BUNDLE", self.path("origin.pem"));
        command
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // The end of its input ends the namespaces' first process, and with it all others in them.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
        if let Some(envoy) = &mut self.envoy {
            let _ = envoy.wait();
        }
    }
}

/// Writes the policy into both files of the sidecar in this folder.
pub(crate) fn render(folder: &Path, policy: &str) {
    let wasm = Path::new("/etc/envoy/weir.wasm");
    ok(ecds::write_both(folder, wasm, &Configuration::Struct(policy.as_bytes().to_vec())));
}

fn run(mut command: Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().expect("nsenter, of util-linux");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// New namespaces in which the test is root. An unprivileged user also needs the ids of the agent and of Envoy mapped.
fn namespaces() -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user", "--map-auto"]);
    }
    let envoy = ok(Binary::find());
    command
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .env("ENVOY", envoy.path())
        .env("PYTHON", python())
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// Whether this machine can run a pod; reports what is missing.
fn possible() -> bool {
    let runs = |tool: &str, arguments: &[&str]| {
        Command::new(tool).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let missing: Vec<&str> = ["iptables", "ip", "curl", "setpriv", "nsenter"]
        .into_iter()
        .filter(|tool| !runs("bash", &["-c", &format!("PATH=$PATH:/usr/sbin:/sbin command -v {tool}")]))
        .collect();
    if !missing.is_empty() {
        skipped(format_args!(
            "the sidecar's tests need {missing:?}: apt-get install iptables iproute2 curl util-linux"
        ));
        return false;
    }
    let mut namespaces = namespaces();
    let can =
        namespaces.args(["--", "iptables", "-t", "nat", "-L"]).output().is_ok_and(|output| output.status.success());
    if !can {
        skipped(
            "the sidecar's tests need namespaces of their own, with iptables in them: run them as root (in a container \
             with --privileged), or install uidmap and let users make user namespaces",
        );
    }
    can
}

/// The path of the interpreter itself, resolved through the PATH of this process.
fn python() -> String {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("python3");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}
