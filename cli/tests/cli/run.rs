//! `weir run`, with a real Envoy: what the command sees, how it ends, and what is reported about it.
//!
//! The origin is an address of this machine which the policy and `--allow-upstream` name. It is not 127.0.0.1, which clients
//! reach without a proxy.

#[cfg(target_os = "linux")]
mod attacker;
#[cfg(target_os = "linux")]
mod https;
#[cfg(target_os = "linux")]
mod isolate;
#[cfg(target_os = "linux")]
mod setup;
#[cfg(target_os = "linux")]
mod terminal;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::process::{children, envoy_of, is_envoy, is_running, signal};
use super::{Folder, Ran, run as weir_with, weir};

const LIMIT: Duration = Duration::from_mins(1);

/// An origin at 127.0.0.2 that answers everything with 204, and the request lines that it received.
struct Origin {
    address: SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    let mut line = String::new();
                    while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                        if line.contains(" HTTP/1.") {
                            seen.lock().unwrap().push(line.trim().to_owned());
                        }
                        line.clear();
                    }
                    let _ = stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
                });
            }
        });
        Origin { address, received }
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

/// A policy that allows the origin, and more.
fn policy(more: &str) -> String {
    format!(r#"{{"internet_access": "on", "ports": "any", "allowlist": {{"domains": ["127.0.0.2"]}}{more}}}"#)
}

/// `weir run` with a policy, without the command.
fn run(folder: &Folder, policy: &str, arguments: &[&str]) -> Command {
    let policy = folder.write("policy.json", policy);
    let temporary = folder.0.join("temporary");
    fs::create_dir_all(&temporary).unwrap();
    let mut command = weir();
    command.args(["run", "--policy", &policy, "--allow-upstream", "127.0.0.2"]).args(arguments);
    command.env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

/// Runs a shell command under `weir run`.
fn shell(folder: &Folder, policy: &str, arguments: &[&str], script: &str) -> Ran {
    Ran::from(run(folder, policy, arguments).args(["--", "sh", "-c", script]).output().unwrap())
}

/// The private folders that remain.
fn left_over(folder: &Folder) -> usize {
    fs::read_dir(folder.0.join("temporary")).unwrap().count()
}

/// The status that curl gets for a URL.
fn status(url: &str) -> String {
    format!("curl -s -o /dev/null -w '%{{http_code}}\\n' {url};")
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "{what} did not come");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_command_has_the_internet_of_the_policy_and_its_end_is_told() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let url = format!("http://{}/a", origin.address);
    let script = [
        status(&url),
        status(&format!("-X POST {url}")),
        status("http://refused.example/"),
        status("http://refused.example/again"),
        "exit 7".to_owned(),
    ];
    let json = folder.0.join("summary.json").display().to_string();
    let policy = policy(r#", "methods": "read-only", "audit": {"log": "none"}"#);
    let ran = shell(&folder, &policy, &["--summary-json", &json], &script.concat());
    assert_eq!(ran.stdout, "204\n403\n403\n403\n", "{}", ran.stderr);
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    assert_eq!(origin.received(), ["GET /a HTTP/1.1"]);
    assert!(ran.stderr.contains("weir: 1 request allowed (1 host), 3 denied"), "{}", ran.stderr);
    assert!(ran.stderr.contains(r#"add "=refused.example" to allowlist.domains"#), "{}", ran.stderr);
    // The policy restricts methods and does not inspect tunnels.
    assert!(ran.stderr.contains("write \"tls\": \"inspected\" into the policy"), "{}", ran.stderr);
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!(summary["denied"], serde_json::json!({"domain-not-allowed": 2, "method-not-allowed": 1}));
    assert_eq!(summary["most_denied"][0]["host"], "refused.example");
    assert_eq!(summary["most_denied"][0]["times"], 2);

    // The suggestion is accepted, and does what it says.
    let mut changed: serde_json::Value = serde_json::from_str(&policy).unwrap();
    for denied in summary["most_denied"].as_array().unwrap() {
        changed["allowlist"]["domains"].as_array_mut().unwrap().push(denied["change"].clone());
    }
    let changed = folder.write("changed.json", &changed.to_string());
    assert_eq!(weir_with(&["check", &changed], "").code, Some(0));
    let explained = weir_with(&["explain", "--policy", &changed, "POST", &url], "");
    assert_eq!(explained.code, Some(0), "{}", explained.stdout);
    assert_eq!(left_over(&folder), 0);
}

/// `2>&1 | tee log`, or a CI's log: one pipe for both.
#[test]
fn in_one_pipe_the_summary_begins_a_line() {
    let folder = Folder::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = run(&folder, "{}", &["--setup", "printf prepared"]);
    command.args(["--", "printf", "body"]).stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut all = String::new();
    std::io::Read::read_to_string(&mut reader, &mut all).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{all}");
    assert!(all.starts_with("prepared\nweir: setup: "), "{all}");
    assert!(all.contains("\nbody\nweir: 0 requests allowed"), "{all}");
}

#[test]
fn what_the_caller_had_set_is_overridden() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let script = format!("{} env", status(&format!("http://{}/", origin.address)));
    let mut command = run(&folder, r#"{"internet_access": "on"}"#, &["--no-summary"]);
    command.args(["--", "sh", "-c", &script]);
    for name in ["NO_PROXY", "no_proxy", "npm_config_noproxy"] {
        command.env(name, "*");
    }
    command
        .env("HTTP_PROXY", "http://127.0.0.9:1")
        .env("JAVA_TOOL_OPTIONS", "-Xmx1g")
        .env("SSL_CERT_FILE", "/mine.pem");
    let ran = Ran::from(command.output().unwrap());
    assert!(ran.stdout.starts_with("403\n"), "NO_PROXY led round the proxy: {}", ran.stdout);
    assert!(origin.received().is_empty());
    assert!(!ran.stderr.contains("weir: 0 requests"), "{}", ran.stderr);
    let value = |name: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name}")).split_once('=').unwrap().1.to_owned()
    };
    assert_eq!(value("NO_PROXY"), "localhost,127.0.0.1,::1");
    let proxy = value("HTTP_PROXY");
    assert!(proxy.starts_with("http://127.0.0.1:"), "{proxy}");
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "npm_config_proxy", "CARGO_HTTP_PROXY"] {
        assert_eq!(value(name), proxy, "{name}");
    }
    let port = proxy.rsplit(':').next().unwrap();
    assert!(value("JAVA_TOOL_OPTIONS").starts_with("-Xmx1g -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort="));
    assert!(value("JAVA_TOOL_OPTIONS").contains(&format!("-Dhttps.proxyPort={port}")));
    // TLS is not inspected, so there is no new CA to trust.
    assert_eq!(value("SSL_CERT_FILE"), "/mine.pem");
}

#[test]
fn the_exit_code_is_what_a_shell_would_tell() {
    let folder = Folder::new();
    let code = |command: &[&str]| {
        let ran = Ran::from(run(&folder, "{}", &[]).arg("--").args(command).output().unwrap());
        (ran.code, ran.stderr)
    };
    assert_eq!(code(&["true"]).0, Some(0));
    assert_eq!(code(&["sh", "-c", "exit 42"]).0, Some(42));
    assert_eq!(code(&["sh", "-c", "kill -KILL $$"]).0, Some(137));
    assert_eq!(code(&["sh", "-c", "kill -TERM $$"]).0, Some(143));
    let (missing, told) = code(&["/nowhere/command"]);
    assert_eq!(missing, Some(127), "{told}");
    assert!(told.contains("/nowhere/command: No such file"), "{told}");
    assert_eq!(code(&[&folder.write("no-program", "")]).0, Some(126));
    assert_eq!(left_over(&folder), 0);
}

#[test]
fn a_mistake_ends_it_before_anything_starts() {
    let folder = Folder::new();
    let mark = folder.0.join("mark").display().to_string();
    for (policy, arguments) in [(r#"{"prots": 1}"#, &[][..]), ("{}", &["--summary-json", "/nowhere/summary.json"])] {
        let ran = shell(&folder, policy, arguments, &format!("touch {mark}"));
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    }
    assert_eq!(weir_with(&["run", "--policy", "-", "--", "true"], "{}").code, Some(2));
    assert_eq!(weir_with(&["run", "--", "true"], "").code, Some(2));
    assert_eq!(weir_with(&["run", "--policy", "/nowhere", "--", "true"], "").code, Some(2));
    assert!(!fs::exists(mark).unwrap());
    let table = weir_with(&["run", "--print-environment"], "");
    assert_eq!(table.code, Some(0));
    assert!(table.stdout.contains("\nNODE_EXTRA_CA_CERTS "), "{}", table.stdout);
}

#[test]
fn the_standard_streams_are_the_commands() {
    let folder = Folder::new();
    let mut command = run(&folder, "{}", &["--no-summary"]);
    let mut child = command
        .args(["--", "sh", "-c", "cat; echo e >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"a\0b").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"a\0b");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "e\n");
}

/// A command that runs until it is stopped, and the file in which it reports the signals it gets.
fn lasting(folder: &Folder, arguments: &[&str], script: &str) -> (std::process::Child, u32) {
    begun(folder, "{}", arguments, &format!("{script} touch $READY; while :; do sleep 0.1; done"))
}

/// A command that has started, which its script reports by `touch $READY`, and its Envoy.
fn begun(folder: &Folder, policy: &str, arguments: &[&str], script: &str) -> (std::process::Child, u32) {
    let ready = folder.0.join("ready");
    let child = run(folder, policy, arguments)
        .args(["--", "sh", "-c", script])
        .env("READY", &ready)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the command", || ready.exists());
    let envoy = envoy_of(&child);
    (child, envoy)
}

#[test]
fn signals_reach_the_command_and_nothing_is_left_behind() {
    for (name, code) in [("HUP", 11), ("INT", 12), ("QUIT", 13), ("TERM", 14), ("USR1", 15), ("WINCH", 16)] {
        let folder = Folder::new();
        let (child, envoy) = lasting(&folder, &[], &format!("trap 'exit {code}' {name};"));
        signal(child.id(), &format!("-{name}"));
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(code), "{name}: {}", ran.stderr);
        assert!(!is_running(envoy) && left_over(&folder) == 0, "{name}");
    }
    // Untrapped, to the whole group of the command.
    let folder = Folder::new();
    let (child, envoy) = lasting(&folder, &[], "sleep 1000 & echo $!;");
    signal(child.id(), "-TERM");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(143), "{}", ran.stderr);
    assert!(!is_running(envoy) && !is_running(ran.stdout.trim().parse().unwrap()));
}

#[test]
fn when_weir_is_killed_envoy_and_the_command_end() {
    let folder = Folder::new();
    let (mut child, envoy) = lasting(&folder, &[], "echo $$;");
    let command = children(child.id()).into_iter().find(|pid| !is_envoy(*pid)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("their end", || !is_running(envoy) && !is_running(command));
}

#[test]
fn when_envoy_dies_the_command_has_no_way_out_and_it_is_told() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let go = folder.0.join("go");
    let script = format!(
        "touch $READY; while ! test -e {}; do sleep 0.05; done; {} exit 0",
        go.display(),
        status(&format!("http://{}/", origin.address))
    );
    let (child, envoy) = begun(&folder, &policy(""), &[], &script);
    signal(envoy, "-KILL");
    wait_for("its end", || !is_running(envoy));
    fs::write(go, "").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "000\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the proxy is gone: Envoy ended by itself"), "{}", ran.stderr);
    assert!(origin.received().is_empty());
    assert_eq!(left_over(&folder), 0);
}

/// On a busy machine both may exit before `weir` checks: while it is stopped, both do, and it then sees both exits
/// together.
#[test]
fn an_envoy_that_dies_shortly_before_the_command_ends_is_told_of() {
    let folder = Folder::new();
    let go = folder.0.join("go");
    let script = format!("touch $READY; while ! test -e {}; do sleep 0.05; done; exit 0", go.display());
    let (child, envoy) = begun(&folder, "{}", &[], &script);
    let command = children(child.id()).into_iter().find(|pid| !is_envoy(*pid)).unwrap();
    signal(child.id(), "-STOP");
    signal(envoy, "-KILL");
    fs::write(go, "").unwrap();
    wait_for("both ends", || !is_running(envoy) && !is_running(command));
    signal(child.id(), "-CONT");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("the proxy is gone: Envoy ended by itself"), "{}", ran.stderr);
    assert_eq!(left_over(&folder), 0);
}
