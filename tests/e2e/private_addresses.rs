//! A name that the policy allows must not lead to a private address: Envoy checks the addresses from DNS and refuses
//! private ones.
//!
//! Two parts of the shipped configuration do that. The DNS cache drops private addresses from every answer, so the RBAC
//! filter after it has nothing to refuse; a test without the first shows that it would. There is no stand-in for the
//! internet here, and no exception for an address.
#![expect(clippy::expect_used, reason = "clippy takes only the test functions themselves for tests")]

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_envoy::config::{Changes, Filter, forward_proxy};
use weir_envoy::{Binary, Configuration};
use weir_tests::proxy::{launch, ok, plugin_file};
use weir_tests::{Outcome, connect, http1};

/// The hosts file maps `localhost` to 127.0.0.1, to `::1`, or to both.
const POLICY: &[u8] =
    br#"{"internet_access": "on", "ports": "any", "audit": {"log": "all"}, "allowlist": {"domains": ["=localhost"]}}"#;

#[track_caller]
fn is_refused_after_dns(outcome: Outcome) {
    let answer = outcome.expect_answer();
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.header("x-proxy-error"), Some("blocked-by-policy"));
    assert!(!answer.has("x-weir-decision"), "it is not the plugin that refuses: {:?}", answer.headers);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.text().contains("its address is private"), "{}", answer.text());
}

/// A private listener, so that the refused connection would otherwise have succeeded.
struct Inside(TcpListener);

impl Inside {
    fn start() -> Inside {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        Inside(listener)
    }

    fn authority(&self) -> String {
        format!("localhost:{}", self.0.local_addr().expect("an address").port())
    }

    #[track_caller]
    fn was_left_alone(&self) {
        let accepted = self.0.accept().map(|_| ()).map_err(|error| error.kind());
        assert_eq!(accepted, Err(ErrorKind::WouldBlock), "Envoy connected to the private address");
    }
}

/// Sends a plain request and a CONNECT, twice: once with DNS, once from its cache.
fn ask(envoy: SocketAddr, authority: &str) {
    let open = || http1::Connection::open(envoy);
    for _ in 0..2 {
        let request = format!("GET /inside HTTP/1.1\r\nhost: {authority}\r\n\r\n");
        is_refused_after_dns(open().exchange(b"GET", request.as_bytes()));
        is_refused_after_dns(connect::open(&mut open(), authority.as_bytes(), b""));
    }
}

/// The plugin allowed all four; the access log shows what refused them.
#[track_caller]
fn check_log(lines: &[Value], details: &str) {
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in lines {
        let decision = line["decision"].as_str().unwrap_or_default();
        assert!(decision.starts_with("allow; host=\"localhost\"; "), "{line}");
        assert!(line["details"].as_str().unwrap_or_default().contains(details), "{line}");
        assert_eq!(line["status"], json!(403));
    }
}

fn json_lines<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<Value> {
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn the_dns_cache_refuses() {
    let inside = Inside::start();
    let envoy = ok(launch().policy(POLICY).start());
    ask(envoy.address(), &inside.authority());
    inside.was_left_alone();
    let mut lines = Vec::new();
    envoy.wait_for_logs(Duration::from_secs(10), |_, access| {
        lines = json_lines(access.iter().map(String::as_str));
        lines.len() == 4
    });
    check_log(&lines, "address_denied");
}

/// An Envoy with a changed configuration, which the launcher would not start.
struct Own(Child);

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Own {
    fn start(config: &Value, folder: &Path) -> Own {
        let file = folder.join("envoy.json");
        fs::write(&file, config.to_string()).expect("a file");
        let output = |name: &str| fs::File::create(folder.join(name)).expect("a file");
        let child = Command::new(ok(Binary::find()).path())
            .arg("--config-path")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(folder.join("admin"))
            .args(["--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "50"])
            .stdin(Stdio::null())
            .stdout(output("access"))
            .stderr(output("log"))
            .spawn()
            .expect("Envoy starts");
        Own(child)
    }
}

/// Retries until there is a result, within Envoy's time limit.
#[track_caller]
fn wait<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(it) = attempt() {
            return it;
        }
        assert!(Instant::now() < end, "no result in time");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn rbac_refuses_what_the_dns_cache_lets_through() {
    let inside = Inside::start();
    let folder = tempfile::tempdir().expect("a folder");
    let config = ok(forward_proxy(&Changes {
        filter: Filter::Static { wasm: plugin_file(), configuration: Configuration::Text(POLICY.to_vec()) },
        resolved_address_filter: false,
        ..Changes::default()
    }));
    let _envoy = Own::start(&config, folder.path());
    let admin: SocketAddr =
        wait(|| fs::read_to_string(folder.path().join("admin")).ok().and_then(|text| text.trim().parse().ok()));
    let address: SocketAddr = wait(|| {
        let request = b"GET /listeners HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n";
        let listeners = http1::Connection::open(admin).exchange(b"GET", request).expect_answer().text();
        let own = listeners.lines().find_map(|line| line.strip_prefix("forward_proxy::"))?;
        own.trim().parse().ok()
    });
    ask(address, &inside.authority());
    inside.was_left_alone();
    let lines = wait(|| {
        let text = fs::read_to_string(folder.path().join("access")).ok()?;
        Some(json_lines(text.lines())).filter(|lines| lines.len() == 4)
    });
    check_log(&lines, "rbac_access_denied");
}
