//! The network filter on real Envoy: under TLS passthrough a connection passes by its name, or is closed before a byte
//! goes upstream.

mod client_hellos;
#[cfg(target_os = "linux")]
mod intercepted;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_envoy::Configuration;
use weir_internet::StandIn;
use weir_tests::http1::Connection;
use weir_tests::network::{Network, Origin, client_hello, say, text};
use weir_tests::proxy::{ok, withhold};
use weir_tests::{Failures, tls};

const POLICY: &[u8] = br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#;
const ALL_LOGGED: &[u8] =
    br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}, "audit": {"log": "all"}, "name": "ci"}"#;

fn named(name: &str) -> Vec<u8> {
    client_hello(Some(name.as_bytes()))
}

fn counters(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// Log lines in which Envoy reports a trap, or a connection that could not be read.
fn signs_of_a_trap(network: &Network) -> Vec<String> {
    let lines = network.envoy.log_lines().into_iter().map(|line| line.message);
    let bad = ["Function: proxy_on_", "the plugin stopped", "cannot be", "panicked", "not announced"];
    lines.filter(|line| bad.iter().any(|sign| line.contains(sign))).collect()
}

#[test]
fn the_table() {
    let origin = Origin::start();
    let network = Network::start(b"", origin.address);
    let (failures, mut run) = (Failures::default(), 0);
    for group in weir_cases::tls() {
        assert!(network.set_policy(group.policy.to_string().as_bytes()), "{}", group.id);
        let audits = group.policy["mode"] == "audit";
        for case in group.cases.iter().filter(|case| !case.not_over.contains_key("envoy")) {
            let id = format!("{}/{}", group.id, case.id);
            let name = Some(&*case.server_name).filter(|name| !name.is_empty());
            let (said, before) = (client_hello(name), network.upstream_connections());
            let answer = network.say(case.port, &said);
            let passes = case.expect == "allow" || audits;
            failures.same(&id, "answer", &(if passes { &b"ok"[..] } else { b"" }), &&*answer);
            failures.same(&id, "connections upstream", &u64::from(passes), &(network.upstream_connections() - before));
            let seen = if passes { vec![said] } else { vec![] };
            failures.check(&id, origin.take_seen() == seen, "the origin received something else");
            run += 1;
        }
    }
    failures.same("all", "signs of a trap", &Vec::new(), &signs_of_a_trap(&network));
    assert!(run > 60, "only {run} cases");
}

#[test]
fn real_tls_passes_untouched_and_both_filters_have_one_policy() {
    let internet = ok(StandIn::with_tls());
    let network = Network::start(POLICY, internet.address());
    let vms = ok(network.envoy.stats("wasm.envoy.wasm.runtime.v8."));
    let ca_pem = internet.ca_pem().expect("a CA");
    let mut inside =
        Connection::over(tls::trusting(Box::new(network.dial(443)), "www.example.com", "http/1.1", ca_pem));
    let answer =
        inside.exchange(b"GET", b"GET /bytes/100000 HTTP/1.1\r\nhost: www.example.com\r\n\r\n").expect_answer();
    assert_eq!((answer.status, answer.body.len()), (200, 100_000));
    let received = internet.take_received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0].arrival.server_name.as_deref(), Some("www.example.com"));

    let mut plain = Connection::open(network.envoy.address());
    assert_eq!(plain.exchange(b"GET", b"GET / HTTP/1.1\r\nhost: example.com\r\n\r\n").status(), Some(200));
    assert_eq!(plain.exchange(b"GET", b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n").status(), Some(403));
    assert_eq!(network.say(443, &named("evil.example")), b"");
    assert_eq!(network.say(443, &named("example.com.evil.example")), b"");
    assert_eq!(internet.take_received().len(), 1);
    network.expect_counters(&counters(&[("weir.allowed", 2), ("weir.denied.domain-not-allowed", 3)]));
    assert_eq!(vms, ok(network.envoy.stats("wasm.envoy.wasm.runtime.v8.")), "one VM serves both filters");
}

#[test]
fn connections_that_are_not_tls_are_closed() {
    let origin = Origin::start();
    let policy = br#"{"internet_access": "on", "allowlist": {"preset": "all"}, "ports": "any"}"#;
    let network = Network::start(policy, origin.address);
    let mut truncated = named("example.com");
    truncated.truncate(40);
    let mut other_record = named("example.com");
    other_record[0] = 23;
    for said in [
        &b"GET / HTTP/1.1\r\nhost: example.com\r\n\r\n"[..],
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01",
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
        b"\0\0\0\0",
        &client_hello(None),
        &other_record,
    ] {
        let stream = network.dial(443);
        let clone = stream.try_clone().expect("a socket");
        let sent = std::thread::spawn({
            let said = said.to_vec();
            move || say(stream, &said)
        });
        if said.len() < 5 {
            // Too short to be recognised, and no more bytes follow.
            clone.shutdown(std::net::Shutdown::Write).expect("a socket");
        }
        assert_eq!(sent.join().expect("a thread"), b"", "{}", said.escape_ascii());
    }
    let stream = network.dial(443);
    let end = stream.try_clone().expect("a socket");
    std::io::Write::write_all(&mut &stream, &truncated).expect("Envoy reads");
    end.shutdown(std::net::Shutdown::Write).expect("a socket");
    assert_eq!(say(stream, b""), b"", "half a ClientHello");
    assert_eq!(network.upstream_connections(), 0);
    assert_eq!(origin.take_seen(), Vec::<Vec<u8>>::new());
    assert_eq!(network.say(443, &named("example.com")), b"ok");
    assert_eq!(signs_of_a_trap(&network), Vec::<String>::new());
}

#[test]
fn a_refusal_is_in_the_audit_log_the_access_log_and_the_counters() {
    let origin = Origin::start();
    let network = Network::start(ALL_LOGGED, origin.address);
    assert_eq!(network.say(443, &named("Evil.example.")), b"");
    assert_eq!(network.say(443, &named("EXAMPLE.com")), b"ok");

    let mut record = network.record(|record| record["decision"] == "deny");
    let id = record["request_id"].take();
    assert_eq!(
        record,
        json!({"decision": "deny", "reason": "domain-not-allowed", "host": "evil.example", "port": 443, "method": "TLS",
            "rule": null, "policy": "ci", "request_id": null})
    );
    let same = |line: &Value| line["at"] == "redirected" && line["id"].to_string().trim_matches('"') == id;
    let line = network.access(same);
    assert_eq!(line["decision"], r#"deny; reason=domain-not-allowed; host="evil.example"; method=TLS"#);
    assert_eq!((&line["upstream"], &line["sent"].to_string() as &str), (&Value::Null, "0"), "{line}");

    let record = network.record(|record| record["decision"] == "allow");
    assert_eq!((&record["host"], &record["rule"]), (&json!("example.com"), &json!("allowlist:example.com")));
    let line = network.access(|line| line["at"] == "tcp" && line["upstream"] != Value::Null);
    assert_eq!(line["decision"], r#"allow; host="example.com"; method=TLS; rule="allowlist:example.com""#);
    network.expect_counters(&counters(&[("weir.allowed", 1), ("weir.denied.domain-not-allowed", 1)]));
}

#[test]
fn without_a_policy_every_connection_is_closed() {
    let origin = Origin::start();
    for configuration in [Configuration::Absent, Configuration::EmptyAny, text(b"{}")] {
        let network = Network::with(POLICY, &configuration, origin.address, |_| {});
        assert_eq!(network.say(443, &named("example.com")), b"", "{configuration:?}");
        let record = network.record(|_| true);
        assert_eq!(record["reason"], "access-off");
        assert_eq!(network.upstream_connections(), 0);
    }
}

#[test]
fn neither_the_wrapping_nor_the_names_matter() {
    let origin = Origin::start();
    // The name that Istio gives to a plugin without pluginName.
    let network = Network::with(b"", &Configuration::Struct(POLICY.to_vec()), origin.address, |typed| {
        typed["config"]["name"] = "team-a.weir".into();
        typed["config"]["root_id"] = "".into();
        typed["config"]["vm_config"]["vm_id"] = "".into();
    });
    assert_eq!(network.say(443, &named("example.com")), b"ok");
    assert_eq!(network.say(443, &named("evil.example")), b"");
}

#[test]
fn another_policy_is_in_force_for_the_next_connection() {
    let origin = Origin::start();
    let network = Network::start(POLICY, origin.address);
    assert_eq!(network.say(443, &named("example.com")), b"ok");
    assert!(network.set_policy(br#"{"internet_access": "on", "allowlist": {"domains": ["example.org"]}}"#));
    assert_eq!(network.say(443, &named("example.com")), b"");
    assert_eq!(network.say(443, &named("example.org")), b"ok");
    assert!(!network.set_policy(br#"{"internet_access": "on", "allowlist": {"domains": ["*"]}}"#), "a mistake");
    assert_eq!(network.say(443, &named("example.com")), b"");
    assert_eq!(network.say(443, &named("example.org")), b"ok");
    assert!(network.set_policy(br#"{"internet_access": "off"}"#));
    assert_eq!(network.say(443, &named("example.org")), b"");
    assert_eq!(network.upstream_connections(), 3);
}

#[test]
fn audit_mode_closes_no_connection() {
    let origin = Origin::start();
    let policy = br#"{"internet_access": "on", "mode": "audit", "methods": "read-only", "allowlist": {"domains": ["example.com"]}}"#;
    let network = Network::start(policy, origin.address);
    assert_eq!(network.say(443, &named("evil.example")), b"ok");
    assert_eq!(network.say(443, &named("example.com")), b"ok");
    assert_eq!(network.say(443, &client_hello(None)), b"ok");
    assert_eq!(network.say(22, &named("example.com")), b"ok");
    let record = network.record(|record| record["reason"] == "tunnel-not-inspected");
    assert_eq!(record["decision"], "would-deny");
    network.expect_counters(&counters(&[
        ("weir.would_deny.authority-invalid", 1),
        ("weir.would_deny.domain-not-allowed", 1),
        ("weir.would_deny.port-not-allowed", 1),
        ("weir.would_deny.tunnel-not-inspected", 1),
    ]));
}

#[test]
fn the_port_is_the_one_that_envoy_will_connect_to() {
    let origin = Origin::start();
    let network = Network::start(POLICY, origin.address);
    // The gateway's own port is not allowed; 443, which it sets by filter state, is.
    assert_eq!(say(network.dial_to("gateway"), &named("example.com")), b"ok");
    assert_eq!(say(network.dial_to("gateway"), &named("evil.example")), b"");
    assert_eq!(say(network.dial_to("echo"), &named("evil.example")), b"");

    let localhost = br#"{"internet_access": "on", "allowlist": {"domains": ["=localhost"]}}"#;
    assert!(network.set_policy(localhost));
    assert_eq!(say(network.dial_to("by-name"), &named("localhost")), b"");
    let record = network.record(|record| record["host"] == "localhost");
    assert_eq!((&record["reason"], &record["port"]), (&json!("port-not-allowed"), &json!(origin.address.port())));

    let port = origin.address.port();
    let localhost = json!({"internet_access": "on", "ports": [port], "allowlist": {"domains": ["=localhost"]}});
    assert!(network.set_policy(localhost.to_string().as_bytes()));
    origin.take_seen();
    assert_eq!(say(network.dial_to("by-name"), &named("localhost")), b"ok");
    assert_eq!(origin.take_seen(), [named("localhost")]);
}

#[test]
fn malformed_client_hellos_do_not_stop_the_plugin() {
    let origin = Origin::start();
    let network = Network::start(POLICY, origin.address);
    let before = ok(network.envoy.stats("wasm.envoy.wasm.runtime.v8."));
    let whole = named("example.com");
    let name = whole.windows(11).position(|part| part == b"example.com").expect("the name");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut passed = 0;
    for round in 0..400 {
        // xorshift: the same bytes in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [at, byte, ..] = state.to_le_bytes();
        let mut said = whole.clone();
        // Every other round changes the name.
        let at = if round % 2 == 0 { name + usize::from(at) % 11 } else { usize::from(at) % whole.len() };
        said[at] = byte;
        let stream = network.dial(443);
        let end = stream.try_clone().expect("a socket");
        let sent =
            std::io::Write::write_all(&mut &stream, &said).and_then(|()| end.shutdown(std::net::Shutdown::Write));
        // Envoy may have closed it already.
        drop(sent);
        let answer = say(stream, b"");
        let same_name = said[name..name + 11].eq_ignore_ascii_case(b"example.com");
        assert!(answer.is_empty() || same_name, "{} passed", said.escape_ascii());
        passed += usize::from(!answer.is_empty());
    }
    assert!(passed > 0, "a change that leaves the name alone passes");
    assert_eq!(network.say(443, &whole), b"ok");
    assert_eq!(signs_of_a_trap(&network), Vec::<String>::new());
    assert_eq!(before, ok(network.envoy.stats("wasm.envoy.wasm.runtime.v8.")), "a VM was lost or created");
}

#[test]
fn a_plugin_that_may_not_close_lets_nothing_through() {
    let origin = Origin::start();
    let network = Network::with(b"", &text(POLICY), origin.address, |typed| withhold(typed, "proxy_close_stream"));
    // Unlike tcp_proxy, echo reads before any upstream is connected: it would echo the bytes of a connection that is
    // only held.
    for listener in ["echo", "gateway", "echo", "gateway"] {
        assert_eq!(say(network.dial_to(listener), &named("evil.example")), b"", "{listener}");
    }
    assert_eq!(network.record(|_| true)["reason"], "domain-not-allowed", "the plugin decided");
    assert_eq!(network.upstream_connections(), 0);
    assert_eq!(origin.take_seen(), Vec::<Vec<u8>>::new());
}
