//! TLS inspection: the plugin decides requests inside a tunnel like any others, and Envoy closes a tunnel that is not
//! TLS or has another name.
//!
//! Real TLS on both sides: clients trust only the issuer's CA, Envoy trusts only the stand-in's. The stand-in receives
//! what passes.
#![expect(clippy::expect_used, clippy::panic, reason = "clippy takes only the test functions themselves for tests")]

mod decided;
mod issuer;
mod names;
mod origins;
mod passthrough;
mod smuggling;
mod transfer;
mod tunnels;

use weir_internet::Received;
use weir_tests::http1::{Connection, Stream};
use weir_tests::http2::Field;
use weir_tests::{Answer, Inspecting, Outcome};

const READ_ONLY: &[u8] = br#"{
    "internet_access": "on",
    "tls": "inspected",
    "methods": "read-only",
    "audit": {"log": "all"},
    "allowlist": {"domains": ["example.com", "example.org"]}
}"#;

const ALL_METHODS: &[u8] =
    br#"{"internet_access": "on", "tls": "inspected", "allowlist": {"domains": ["example.com", "example.org"]}}"#;

#[track_caller]
fn passed(outcome: Outcome) -> Answer {
    let answer = outcome.expect_answer();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.has("x-weir-decision"));
    answer
}

#[track_caller]
fn refused(outcome: Outcome, reason: &str) {
    let answer = outcome.expect_answer();
    assert_eq!((answer.status, answer.reason()), (403, Some(reason)), "{}", answer.text());
}

fn request(method: &str, host: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

fn get(connection: &mut Connection, host: &str, path: &str) -> Outcome {
    connection.exchange(b"GET", &request("GET", host, path))
}

fn fields<'f>(method: &'f str, host: &'f str, path: &'f str) -> Vec<Field<'f>> {
    vec![
        (b":method", method.as_bytes()),
        (b":scheme", b"https"),
        (b":authority", host.as_bytes()),
        (b":path", path.as_bytes()),
    ]
}

#[track_caller]
fn only(received: Vec<Received>) -> Received {
    let [one] = received.try_into().unwrap_or_else(|all| panic!("not one request: {all:?}"));
    one
}

/// Checks that the connection is closed without an answer.
#[track_caller]
fn is_closed(mut stream: Box<dyn Stream>, say: &[u8]) {
    // The peer may close before everything is written.
    let _ = stream.write_all(say).and_then(|()| stream.flush());
    let mut answer = [0; 1024];
    match stream.read(&mut answer) {
        Ok(0) => {}
        Ok(length) => panic!("answered: {}", answer.get(..length).expect("a part").escape_ascii()),
        Err(error) => {
            let waited = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            assert!(!waited, "neither answered nor closed");
        }
    }
}

#[track_caller]
fn origin_saw_nothing(proxy: &Inspecting) {
    assert_eq!(proxy.internet.take_received(), Vec::new());
}
