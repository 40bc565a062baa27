//! `weir up`, with a real Envoy: the policy follows its file, and nothing is left behind.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::process::{envoy_of, is_running, signal};
use super::{Folder, run, weir};

pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// A proxy under test, with the lines that it prints.
struct Up {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    address: SocketAddr,
    /// Where Envoy's private folder is.
    temporary: Folder,
}

impl Up {
    fn start(policy: &str, more: &[&str]) -> Up {
        let temporary = Folder::new();
        let mut child = weir()
            .args(["up", "--listen", "127.0.0.1:0", "--policy", policy])
            .args(more)
            .env("TMPDIR", &temporary.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let mut up = Up { child, stdout, stderr, address: SocketAddr::from(([0; 4], 0)), temporary };
        // The first build of the plugin may take a while.
        let export = up.wait_for_within("export http_proxy=http://", Duration::from_mins(5));
        up.address = export.split("://").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(export.contains(&format!("https_proxy=http://{}", up.address)), "{export}");
        up
    }

    /// The next line of standard error that holds `text`.
    fn wait_for(&self, text: &str) -> String {
        self.wait_for_within(text, LIMIT)
    }

    fn wait_for_within(&self, text: &str, limit: Duration) -> String {
        wait(&self.stderr, text, limit)
    }

    fn status_of(&self, url: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let host = url.split('/').nth(2).unwrap();
        write!(stream, "GET {url} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// The head of the answer to a CONNECT.
    fn connect(&self, authority: &str) -> String {
        let mut stream = BufReader::new(TcpStream::connect(self.address).unwrap());
        stream.get_ref().set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream.get_mut(), "CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n").unwrap();
        stream.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// The Envoy that it started.
    fn envoy(&self) -> u32 {
        envoy_of(&self.child)
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    fn code(&mut self) -> Option<i32> {
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("weir did not end");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

pub(crate) fn wait(lines: &Receiver<String>, text: &str, limit: Duration) -> String {
    let end = Instant::now() + limit;
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(text) => return line,
            Ok(line) => seen.push(line),
            Err(error) => panic!("{error}: no line with {text:?} but {seen:#?}"),
        }
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// An origin that answers everything with 204.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        }
    });
    address
}

#[test]
fn a_policy_in_yaml_or_with_comments_is_followed_too() {
    let origin = format!("http://{}/", origin());
    let folder = Folder::new();
    let off = [("policy.yaml", "# off\nname: one\n"), ("policy.jsonc", "// off\n{\"name\": \"one\"}")];
    let on = [
        "internet_access: on # at last\nports: any\nallowlist:\n  domains: [127.0.0.1]\n",
        "{\"internet_access\": \"on\", // at last\n \"ports\": \"any\", \"allowlist\": {\"domains\": [\"127.0.0.1\"]}}",
    ];
    for ((name, off), on) in off.into_iter().zip(on) {
        let policy = folder.write(name, off);
        let mut up = Up::start(&policy, &["--allow-upstream", "127.0.0.1"]);
        assert_eq!(up.status_of(&origin), 403);
        fs::write(&policy, on).unwrap();
        up.wait_for("internet_access: off -> on");
        assert_eq!(up.status_of(&origin), 204);
        fs::write(&policy, on.replace("ports", "prots")).unwrap();
        let mistake = up.wait_for("policy: prots: unknown field");
        let place = if name.ends_with("yaml") { "2:1" } else { "2:2" };
        assert!(mistake.starts_with(&format!("{policy}:{place}: ")), "{mistake}");
        assert_eq!(up.status_of(&origin), 204);
        up.signal("-INT");
        assert_eq!(up.code(), Some(0));
    }
}

#[test]
fn the_policy_follows_its_file_and_nothing_is_left_behind() {
    let origin = format!("http://{}/", origin());
    let folder = Folder::new();
    let off = r#"{"name": "one"}"#;
    let on = r#"{"internet_access": "on", "ports": "any", "allowlist": {"domains": ["127.0.0.1"]}}"#;
    let policy = folder.write("policy.json", off);
    let mut up = Up::start(&policy, &["--allow-upstream", "127.0.0.1"]);
    let envoy = up.envoy();
    assert_eq!(up.status_of(&origin), 403);
    let record = wait(&up.stdout, "access-off", LIMIT);
    assert!(record.contains("deny GET 127.0.0.1:") && !record.contains('\u{1b}'), "{record}");

    // In place.
    fs::write(&policy, on).unwrap();
    up.wait_for("policy changed:");
    up.wait_for("internet_access: off -> on");
    up.wait_for("allowlist: + 127.0.0.1");
    assert_eq!(up.status_of(&origin), 204);

    // An invalid policy changes nothing.
    fs::write(&policy, on.replace("\"ports\"", "\"prots\"")).unwrap();
    let mistake = up.wait_for("policy: prots: unknown field");
    assert!(mistake.starts_with(&format!("{policy}:1:27: ")), "{mistake}");
    up.wait_for("the policy stays as it was");
    assert_eq!(up.status_of(&origin), 204);

    // By rename, as editors do, first with a change of format only.
    folder.write("beside", &on.replace(", ", ",\n "));
    fs::rename(folder.0.join("beside"), &policy).unwrap();
    up.wait_for("decides as before");
    folder.write("beside", &on.replace("\"ports\"", "\"denylist\": [\"127.0.0.1\"], \"ports\""));
    fs::rename(folder.0.join("beside"), &policy).unwrap();
    up.wait_for("denylist: + 127.0.0.1");
    assert_eq!(up.status_of(&origin), 403);
    wait(&up.stdout, "domain-denied by denylist:127.0.0.1", LIMIT);

    // Without the file the policy stays.
    fs::remove_file(&policy).unwrap();
    up.wait_for("cannot be read");
    assert_eq!(up.status_of(&origin), 403);

    assert!(is_running(envoy));
    up.signal("-INT");
    assert_eq!(up.code(), Some(0));
    assert!(!is_running(envoy));
    assert!(is_empty(&up.temporary.0));
}

#[test]
fn records_are_json_on_request_and_sigterm_ends_it_too() {
    let folder = Folder::new();
    let mut up = Up::start(&folder.write("policy.json", "{}"), &["--json"]);
    let envoy = up.envoy();
    assert_eq!(up.status_of("http://example.com/"), 403);
    let record: serde_json::Value = serde_json::from_str(&wait(&up.stdout, "decision", LIMIT)).unwrap();
    assert_eq!((&record["decision"], &record["reason"]), (&"deny".into(), &"access-off".into()));
    // A second Ctrl-C, of an impatient user, does not prevent the cleanup.
    up.signal("-TERM");
    up.signal("-TERM");
    assert_eq!(up.code(), Some(0));
    assert!(!is_running(envoy) && is_empty(&up.temporary.0));
}

#[test]
fn the_death_of_envoy_is_told() {
    let folder = Folder::new();
    let mut up = Up::start(&folder.write("policy.json", "{}"), &[]);
    let envoy = up.envoy();
    signal(envoy, "-KILL");
    assert_eq!(up.code(), Some(1));
    up.wait_for("Envoy ended by itself");
    assert!(is_empty(&up.temporary.0));
}

#[test]
fn an_allowed_name_without_public_address_is_told() {
    let folder = Folder::new();
    let policy = r#"{"internet_access": "on", "ports": "any", "allowlist": {"domains": ["127.0.0.1"]}}"#;
    let up = Up::start(&folder.write("policy.json", policy), &[]);
    let origin = origin();
    assert!([403, 503].contains(&up.status_of(&format!("http://{origin}/"))));
    let line = up.wait_for("from Envoy");
    assert!(line.contains(&format!("failed GET {origin}")), "{line}");
}

#[test]
fn a_policy_with_a_mistake_and_a_port_in_use_do_not_start() {
    let folder = Folder::new();
    let bad = folder.write("bad.json", "{\"prots\": \"any\"}");
    let ran = run(&["up", "--policy", &bad], "");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("bad.json:1:2: policy: prots: unknown field"), "{}", ran.stderr);
    assert_eq!(run(&["up", "--policy", "-"], "{}").code, Some(2));

    let good = folder.write("good.json", "{}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ran = run(&["up", "--policy", &good, "--listen", &taken.local_addr().unwrap().to_string()], "");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("in use"), "{}", ran.stderr);
}

const INSPECTED: &str =
    r#"{"internet_access": "on", "tls": "inspected", "methods": "read-only", "allowlist": {"domains": ["a.example"]}}"#;

#[test]
fn a_policy_that_inspects_gets_a_proxy_that_does() {
    let folder = Folder::new();
    let policy = folder.write("policy.json", INSPECTED);
    let ca = folder.0.join("ca").display().to_string();
    let up = Up::start(&policy, &["--ca", &ca]);
    up.wait_for(&format!("weir ca export --ca {ca}"));
    let exported = run(&["ca", "export", "--ca", &ca], "");
    assert!(exported.stdout.starts_with("-----BEGIN CERTIFICATE-----"), "{exported:?}");
    assert!(up.connect("a.example:443").starts_with("HTTP/1.1 200 "));
    assert!(up.connect("b.example:443").starts_with("HTTP/1.1 403 "));
}

#[test]
fn a_proxy_that_looks_into_nothing_refuses_what_has_to_be_looked_into() {
    let folder = Folder::new();
    let policy = folder.write("policy.json", r#"{"internet_access": "on", "allowlist": {"domains": ["a.example"]}}"#);
    let up = Up::start(&policy, &[]);
    folder.write("new.json", INSPECTED);
    fs::rename(folder.0.join("new.json"), &policy).unwrap();
    up.wait_for("started without TLS inspection");
    let refused = up.connect("a.example:443");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.contains("x-proxy-error: blocked-by-mitm-required"), "{refused}");
}
