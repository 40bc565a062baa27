//! The audit records, and the fields of a policy that control them: `audit.log`, `audit.detail`, `mode`.

use serde_json::{Value, json};
use weir_tests::{Failures, Outcome, Proxy, audit, http1};

const POLICY: &str = r#"{
    "name": "audit", "internet_access": "on", "denylist": ["denied.example.com"], "mode": "audit",
    "allowlist": {"domains": ["example.com", {"domain": "paths.example.com", "paths": ["/v1/"]}]}
}"#;

fn get(connection: &mut http1::Connection, host: &str, path: &str) -> Outcome {
    connection.exchange(b"GET", format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())
}

/// What `audit.log` selects is in both logs, the rest in neither. The client gets the header in any case.
#[test]
fn audit_log_selects() {
    let failures = Failures::default();
    let mut proxy = Proxy::start(b"{}");
    for (log, of_allowed, of_refused) in [("denied", false, true), ("all", true, true), ("none", false, false)] {
        let policy = json!({
            "internet_access": "on", "allowlist": {"domains": ["example.com"]}, "audit": {"log": log}, "name": log,
        });
        proxy.set_policy(policy.to_string().as_bytes());
        for (host, status, outcome, selected) in
            [("example.com", 200, "allow", of_allowed), ("evil.example", 403, "deny", of_refused)]
        {
            let id = format!("{log}, {outcome}");
            let path = format!("/{log}/{outcome}");
            let answer = get(&mut proxy.http1(), host, &path).expect_answer();
            failures.same(&id, "status", &status, &answer.status);
            failures.same(&id, "x-weir-decision", &(outcome == "deny"), &answer.has("x-weir-decision"));
            let Some((access, record)) = audit::about(&proxy, &path) else {
                failures.add(&id, "not in the access log");
                continue;
            };
            failures.check(&id, record.is_some() == selected, format_args!("audit record: {record:?}"));
            if let Some(record) = record {
                failures.same(&id, "decision", &json!(outcome), &record["decision"]);
                failures.same(&id, "host", &json!(host), &record["host"]);
                failures.same(&id, "policy", &json!(log), &record["policy"]);
            }
            let told = access["decision"].as_str().unwrap_or_default();
            let as_selected =
                if selected { told.starts_with(&format!("{outcome}; ")) } else { access["decision"].is_null() };
            failures.check(&id, as_selected, format_args!("access log: {access}"));
        }
    }
}

#[test]
fn detail_minimal_reports_the_reason_alone() {
    let policy = br#"{
        "internet_access": "on", "denylist": ["denied.example.com"], "name": "minimal",
        "allowlist": {"domains": ["example.com"]}, "audit": {"detail": "minimal"}
    }"#;
    let proxy = Proxy::start(policy);
    let answer = get(&mut proxy.http1(), "denied.example.com", "/minimal").expect_answer();
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("x-weir-decision"), Some("deny; reason=domain-denied"));
    assert_eq!(answer.header("x-proxy-error"), Some("blocked-by-denylist"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = json!({
        "type": "urn:weir:denied:domain-denied", "title": "Refused by the egress policy", "status": 403,
        "reason": "domain-denied",
    });
    assert_eq!(body, expected);
    // The audit record has the details all the same.
    let (access, record) = audit::about(&proxy, "/minimal").unwrap();
    let told = access["decision"].as_str().unwrap();
    assert!(told.starts_with("deny; reason=domain-denied; host=\"denied.example.com\""), "{told}");
    let record = record.unwrap();
    assert_eq!(record["host"], "denied.example.com");
    assert_eq!(record["rule"], "denylist:denied.example.com");
}

#[test]
fn mode_audit_counts_and_lets_pass() {
    let failures = Failures::default();
    let proxy = Proxy::start(POLICY.as_bytes());
    let before = proxy.counters();
    for (host, path, reason) in [
        ("evil.example", "/one", "domain-not-allowed"),
        ("denied.example.com", "/two", "domain-denied"),
        ("paths.example.com", "/three", "path-not-allowed"),
    ] {
        let answer = get(&mut proxy.http1(), host, path).expect_answer();
        failures.same(reason, "status", &200, &answer.status);
        failures.check(reason, !answer.has("x-weir-decision") && !answer.has("x-proxy-error"), "the client is told");
        let received = proxy.internet.take_received();
        failures.check(reason, matches!(&received[..], [one] if one.host == host), format_args!("{received:?}"));
        let Some((access, Some(record))) = audit::about(&proxy, path) else {
            failures.add(reason, "not in the logs");
            continue;
        };
        failures.same(reason, "decision", &json!("would-deny"), &record["decision"]);
        failures.same(reason, "reason", &json!(reason), &record["reason"]);
        let told = access["decision"].as_str().unwrap_or_default();
        failures.check(reason, told.starts_with(&format!("would-deny; reason={reason}; ")), format_args!("{access}"));
    }
    let reasons = ["domain-not-allowed", "domain-denied", "path-not-allowed"];
    let growth = reasons.map(|reason| (format!("weir.would_deny.{reason}"), 1)).into();
    proxy.counters_grew(&before, &growth).unwrap_or_else(|error| failures.add("counters", error));
}
