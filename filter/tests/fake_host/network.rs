//! The network filter: TLS connections that are not inspected.

use std::collections::BTreeMap;

use crate::host::{Call, ClientHello, Fault, Host, Incoming};
use serde_json::json;

const ON: &str = r#"{"internet_access":"on","allowlist":{"domains":["example.com"]}}"#;
const ALL: &str =
    r#"{"internet_access":"on","allowlist":{"domains":["example.com"]},"audit":{"log":"all"},"name":"ci"}"#;

#[test]
fn the_table() {
    let mut run = 0;
    for group in weir_cases::tls() {
        let (host, root) = Host::with_policy(&group.policy.to_string());
        let audits = group.policy["mode"] == "audit";
        let mut expected = BTreeMap::<_, i64>::new();
        for case in &group.cases {
            let name = format!("{}/{}", group.id, case.id);
            let hello = ClientHello::to(&*case.server_name);
            let hello = if case.port == 0 { hello.at_none() } else { hello.at(case.port) };
            let connected = host.connection(root, &hello);
            let allowed = case.expect == "allow";
            assert_eq!(connected.goes_on, allowed || audits, "{name}: {connected:?}");
            if !connected.goes_on {
                assert_eq!(connected.refusal(), case.expect, "{name}");
            }
            if allowed {
                assert!(connected.log.is_empty(), "{name}: {connected:?}");
            } else {
                let record = connected.audit_record();
                assert_eq!(record["reason"], *case.expect, "{name}");
                assert!(case.rule.is(record["rule"].as_str()), "{name}: {record}");
                assert_eq!(record["port"].as_u64().unwrap_or_default(), u64::from(case.port), "{name}");
            }
            let counter = match (allowed, audits) {
                (true, _) => "weir.allowed".to_owned(),
                (false, true) => format!("weir.would_deny.{}", case.expect),
                (false, false) => format!("weir.denied.{}", case.expect),
            };
            *expected.entry(counter).or_default() += 1;
            run += 1;
        }
        host.tick(root);
        assert_eq!(host.counters(), expected, "{}", group.id);
    }
    assert!(run > 60, "only {run} cases");
}

#[test]
fn an_allowed_connection_takes_three_hostcalls_and_leaves_nothing() {
    let (host, root) = Host::with_policy(ON);
    let connected = host.connection(root, &ClientHello::to("www.example.com"));
    assert!(connected.goes_on);
    assert_eq!(connected.calls, [Call::GetProperty; 3]);
    assert_eq!((connected.filter_state, connected.log), (None, vec![]));
}

#[test]
fn a_refused_connection_is_recorded_and_closed() {
    let (host, root) = Host::with_policy(ALL);
    let connected = host.connection(root, &ClientHello::to("Evil.example."));
    assert_eq!(connected.calls.last(), Some(&Call::CloseStream));
    assert_eq!(
        connected.audit_record(),
        json!({"decision": "deny", "reason": "domain-not-allowed", "host": "evil.example", "port": 443,
            "method": "TLS", "rule": null, "policy": "ci", "request_id": "17"})
    );
    let state = r#"deny; reason=domain-not-allowed; host="evil.example"; method=TLS"#;
    assert_eq!(connected.filter_state.as_deref(), Some(state));
}

#[test]
fn an_allowed_connection_is_recorded_where_all_are() {
    let (host, root) = Host::with_policy(ALL);
    let connected = host.connection(root, &ClientHello::to("a.example.com"));
    assert!(connected.goes_on);
    assert_eq!(connected.audit_record()["decision"], "allow");
    let state = r#"allow; host="a.example.com"; method=TLS; rule="allowlist:example.com""#;
    assert_eq!(connected.filter_state.as_deref(), Some(state));
}

#[test]
fn the_port_is_where_envoy_will_go_before_where_the_client_went() {
    let (host, root) = Host::with_policy(ON);
    let hello = || ClientHello::to("example.com");
    assert!(host.connection(root, &hello().at(8443).going_to("443")).goes_on);
    for hello in [
        hello().at(443).going_to("8443"),
        hello().at(443).going_to(""),
        hello().at(443).going_to("0"),
        hello().at(443).going_to("65979"),
        hello().at(443).going_to("443\n"),
        hello().at(443).going_to(b"\xff"),
        hello().at_none(),
    ] {
        assert_eq!(host.connection(root, &hello).refusal(), "port-not-allowed", "{hello:?}");
    }
}

#[test]
fn a_number_of_another_size_is_no_port() {
    let (host, root) = Host::with_policy(ON);
    for bytes in [&b"443"[..], &[187, 1, 0, 0], &[187, 1, 0, 0, 0, 0, 0, 0, 0], &[187, 1, 1, 0, 0, 0, 0, 0]] {
        host.fail(Call::GetProperty, Fault::Bytes(bytes.to_vec()));
        assert!(!host.connection(root, &ClientHello::to("example.com")).goes_on, "{bytes:?}");
    }
}

#[test]
fn without_a_policy_every_connection_is_closed() {
    let host = Host::start();
    let root = host.create_root();
    assert_eq!(host.connection(root, &ClientHello::to("example.com")).refusal(), "access-off");
    assert!(host.configure(root, b""));
    assert_eq!(host.connection(root, &ClientHello::to("example.com")).refusal(), "access-off");
    assert!(!host.configure(root, br#"{"internet_access":"on","allowlist":{"preset":"all"},"x":1}"#));
    assert_eq!(host.connection(root, &ClientHello::to("example.com")).refusal(), "access-off");
}

#[test]
fn one_root_serves_both_filters() {
    let (host, root) = Host::with_policy(ON);
    for _ in 0..3 {
        assert!(host.request(root, &Incoming::get("example.com")).goes_on);
        assert!(host.connection(root, &ClientHello::to("example.com")).goes_on);
        assert_eq!(host.connection(root, &ClientHello::to("evil.example")).refusal(), "domain-not-allowed");
        assert_eq!(host.request(root, &Incoming::get("evil.example")).refusal(), "domain-not-allowed");
    }
    host.tick(root);
    let expected = [("weir.allowed".to_owned(), 6), ("weir.denied.domain-not-allowed".to_owned(), 6)];
    assert_eq!(Vec::from_iter(host.counters()), expected);
}

#[test]
fn two_policies_of_one_vm_do_not_mix() {
    let (host, old) = Host::with_policy(ON);
    let new = host.create_root();
    assert!(host.configure(new, br#"{"internet_access":"on","allowlist":{"domains":["example.org"]}}"#));
    assert!(host.connection(old, &ClientHello::to("example.com")).goes_on);
    assert!(host.connection(new, &ClientHello::to("example.org")).goes_on);
    assert_eq!(host.connection(new, &ClientHello::to("example.com")).refusal(), "domain-not-allowed");
    let last = host.announce(old);
    host.delete(old);
    assert!(
        host.announced(last, &ClientHello::to("example.com")).goes_on,
        "a policy lives as long as who it decides for"
    );
}

#[test]
fn whatever_a_host_does_wrong_a_refused_connection_is_closed() {
    for call in Call::ALL {
        for fault in crate::closed::faults() {
            let (host, root) = Host::with_policy(ALL);
            host.fail(call, fault.clone());
            for name in ["evil.example", "", "192.0.2.7", "\u{ff}"] {
                assert!(!host.connection(root, &ClientHello::to(name)).goes_on, "{call:?} {fault:?} {name}");
            }
            // Some faults leave nothing to refuse it for; it must only not panic.
            host.connection(root, &ClientHello::to("example.com"));
            host.tick(root);
        }
    }
}

#[test]
fn a_name_that_cannot_be_read_is_none() {
    let (host, root) = Host::with_policy(r#"{"internet_access":"on","allowlist":{"preset":"all"},"ports":"any"}"#);
    for fault in [Fault::Status(2), Fault::Status(10), Fault::Null(64)] {
        host.fail(Call::GetProperty, fault);
        let connected = host.connection(root, &ClientHello::to("example.com"));
        assert_eq!(connected.refusal(), "authority-invalid");
    }
}
