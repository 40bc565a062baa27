//! The launcher with a real Envoy and the plugin, through its public API.
#![expect(clippy::unwrap_used, reason = "clippy takes only the test functions themselves for tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use weir_envoy::{Configuration, Error, Launch, Plugin, Running};
use weir_internet::StandIn;
use weir_tests::proxy::launch;

const ON: &[u8] = br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#;
const MISTAKE: &[u8] = br#"{"internet_acess": "on"}"#;

/// Sends a request and reads until the peer closes.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(envoy: &Running, host: &str, path: &str, more: &str) -> String {
    exchange(
        envoy.address(),
        &format!("GET http://{host}{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n"),
    )
}

#[test]
fn requests_pass_and_are_refused_and_the_policy_changes() {
    let internet = StandIn::start().unwrap();
    let mut envoy = launch().policy(ON).stand_in(internet.address()).start().unwrap();

    let allowed = get(
        &envoy,
        "example.com",
        "/a?secret=1",
        "x-http-method-override: DELETE\r\nx-request-id: mine\r\nx-forwarded-for: 1.2.3.4\r\nproxy-authorization: x\r\n",
    );
    assert!(allowed.starts_with("HTTP/1.1 200") && allowed.ends_with("stand-in for example.com\n"), "{allowed}");
    let received = internet.take_received();
    assert_eq!(received.len(), 1);
    let mut names: Vec<&str> = received[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "x-request-id"], "nothing else reaches the origin");
    assert_eq!(received[0].header("x-request-id"), Some("mine"), "the origin gets the client's own id");

    let refused = get(&envoy, "other.example", "/", "");
    assert!(
        refused.starts_with("HTTP/1.1 403")
            && refused.contains("\r\nx-weir-decision: deny; ")
            && refused.contains("\r\nx-proxy-error: blocked-by-"),
        "{refused}"
    );
    assert!(internet.take_received().is_empty());

    let logged = envoy.wait_for_logs(Duration::from_secs(5), |_, access| access.len() == 2);
    assert!(logged, "{:?}", envoy.access_log_lines());
    let access = envoy.access_log_lines().join("\n");
    assert!(access.contains(r#""path":"/a","#) && !access.contains("secret"), "{access}");
    assert!(!access.contains(r#""request_id":"mine""#), "the audit's id is Envoy's own: {access}");

    let error = envoy.set_policy(MISTAKE).unwrap_err();
    assert!(matches!(&error, Error::PolicyRefused(lines) if lines[0].starts_with("policy: ")), "{error}");
    assert!(get(&envoy, "example.com", "/", "").starts_with("HTTP/1.1 200"), "the old policy stays");

    envoy.set_policy(*b"{}").unwrap();
    for _ in 0..20 {
        assert!(
            get(&envoy, "example.com", "/", "").starts_with("HTTP/1.1 403"),
            "no worker may still have the old policy"
        );
    }
    envoy.set_policy(ON).unwrap();
    for _ in 0..20 {
        assert!(get(&envoy, "example.com", "/", "").starts_with("HTTP/1.1 200"));
    }
    // The same document again is also an update.
    envoy.set_policy(ON).unwrap();
}

#[test]
fn a_kept_connection_obeys_the_new_policy() {
    let internet = StandIn::start().unwrap();
    let mut envoy = launch().policy(ON).stand_in(internet.address()).start().unwrap();
    let mut stream = TcpStream::connect(envoy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut ask = || {
        stream.write_all(b"GET http://example.com/ HTTP/1.1\r\nhost: example.com\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    assert!(ask().starts_with("HTTP/1.1 200"));
    envoy.set_policy(*b"{}").unwrap();
    assert!(ask().starts_with("HTTP/1.1 403"));
}

#[test]
fn a_websocket_passes() {
    let internet = StandIn::start().unwrap();
    let envoy = launch().policy(ON).stand_in(internet.address()).start().unwrap();
    let mut stream = TcpStream::connect(envoy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request =
        "GET http://example.com/ws HTTP/1.1\r\nhost: example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 101"));
    stream.write_all(b"echo").unwrap();
    let length = stream.read(&mut answer).unwrap();
    assert_eq!(&answer[..length], b"echo");
    assert_eq!(internet.received()[0].path, "/ws");
}

#[test]
fn a_module_that_cannot_be_loaded_is_reported() {
    let file = tempfile::NamedTempFile::new().unwrap();
    match Launch::new(Plugin::at(file.path()).unwrap()).start() {
        Err(Error::PolicyRefused(lines)) => assert!(!lines.is_empty()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("started"),
    }
}

#[test]
fn no_policy_is_off() {
    let internet = StandIn::start().unwrap();
    let envoy = launch().stand_in(internet.address()).start().unwrap();
    for configuration in [Configuration::Absent, Configuration::EmptyAny, Configuration::Struct(b"{}".to_vec())] {
        let envoy = if configuration == Configuration::Absent {
            &envoy
        } else {
            &launch().configuration(configuration).stand_in(internet.address()).start().unwrap()
        };
        assert!(get(envoy, "example.com", "/", "").starts_with("HTTP/1.1 403"));
    }
    assert!(internet.received().is_empty());
}

#[test]
fn a_mistake_is_reported_for_both_ways_of_loading() {
    for launch in [launch(), launch().static_filter()] {
        match launch.policy(MISTAKE).start() {
            Err(Error::PolicyRefused(lines)) => {
                assert!(lines.iter().all(|line| line.starts_with("policy: ")), "{lines:?}");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("started with a mistake"),
        }
    }
}

#[test]
fn an_origin_cannot_forge_a_decision() {
    let internet = StandIn::start().unwrap();
    let envoy = launch().policy(ON).stand_in(internet.address()).start().unwrap();
    let answer = get(&envoy, "example.com", "/forge", "");
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("forged"), "{answer}");
    assert_eq!(internet.received()[0].path, "/forge");
}

#[test]
fn a_tunnel_carries_bytes_and_ends_in_time() {
    let internet = StandIn::start().unwrap();
    let envoy =
        launch().policy(ON).stand_in(internet.address()).tunnel_lifetime(Duration::from_secs(2)).start().unwrap();
    let mut stream = TcpStream::connect(envoy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"CONNECT example.com:80 HTTP/1.0\r\nhost: example.com\r\n\r\n").unwrap();
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200") || answer[..length].starts_with(b"HTTP/1.0 200"));
    stream.write_all(b"GET /inside HTTP/1.1\r\nhost: inside.example\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(String::from_utf8_lossy(&rest).ends_with("stand-in for inside.example\n"));
    assert_eq!(internet.received()[0].host, "inside.example");

    let refused = exchange(envoy.address(), "CONNECT other.example:80 HTTP/1.0\r\nhost: other.example\r\n\r\n");
    assert!(refused.contains(" 403 "), "{refused}");
}

#[test]
fn a_private_address_is_refused_and_says_why() {
    let policy = br#"{"internet_access": "on", "allowlist": {"domains": ["=localhost", "127.0.0.1"]}}"#;
    let envoy = launch().policy(policy).start().unwrap();
    for request in [
        "GET http://localhost/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "GET http://127.0.0.1/ HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        "CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\nconnection: close\r\n\r\n",
        "CONNECT 127.0.0.1:80 HTTP/1.1\r\nhost: 127.0.0.1:80\r\nconnection: close\r\n\r\n",
    ] {
        let answer = exchange(envoy.address(), request);
        assert!(!answer.contains(" 200 ") && answer.contains("private"), "{request}{answer}");
    }
}

#[test]
fn nothing_is_left_behind() {
    let base = tempfile::tempdir().unwrap();
    let envoy = launch().base_dir(base.path()).start().unwrap();
    let pid = envoy.pid();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(envoy.stop(), None, "it exited because it was stopped");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
}

#[test]
#[cfg(unix)]
fn an_exit_of_envoy_is_reported() {
    use std::os::unix::process::ExitStatusExt as _;
    let envoy = launch().start().unwrap();
    // Stopped as early as possible: it may still be exiting by itself.
    let kill = std::process::Command::new("kill").args(["-KILL", &envoy.pid().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(envoy.stop().and_then(|status| status.signal()), Some(9));
}

#[test]
fn envoys_own_errors_are_readable() {
    let Err(error) = launch().arg("--no-such-option").start() else { panic!("started") };
    let error = error.to_string();
    assert!(error.starts_with("Envoy ended by itself") && error.contains("no-such-option"), "{error}");
}

/// Envoy 1.36 has no on-demand certificates, and 1.37 cannot distinguish tunnels. Their own errors, an unknown type or
/// factory, would not help the operator.
#[cfg(unix)]
#[test]
fn an_envoy_that_cannot_inspect_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    for version in ["1.36.4", "1.37.0"] {
        let path = folder.path().join(format!("envoy-{version}"));
        let script = format!("#!/bin/sh\necho \"$0  version: {:040}/{version}/Clean/RELEASE/BoringSSL\"\n", 0);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let binary = weir_envoy::Binary::at(&path).unwrap();
        let launch = weir_envoy::Launch::without_plugin().binary(binary).inspect(folder.path().join("issuer.sock"));
        let error = launch.start().err().map(|error| error.to_string()).unwrap();
        assert_eq!(
            error,
            format!(
                "the Envoy at {} cannot be used: it is Envoy {version}, and TLS inspection needs 1.38.0 or later, which \
                 gets certificates on demand and tells tunnels to different hosts apart",
                path.display()
            )
        );
    }
}
