//! What the plugin does for its host when all goes well: answers, records, counters, and how many
//! hostcalls it takes.

use std::collections::BTreeMap;

use crate::host::{Call, Fault, Host, Incoming};
use serde_json::json;

const INFO: u32 = 2;
const WARN: u32 = 3;
const ERROR: u32 = 4;

fn policy(more: &str) -> String {
    format!(r#"{{"internet_access":"on","allowlist":{{"domains":["example.com"]}}{more}}}"#)
}

fn counters(expected: &[(&str, i64)]) -> BTreeMap<String, i64> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

#[test]
fn an_allowed_request_takes_one_hostcall_and_leaves_nothing() {
    let (host, root) = Host::with_policy(&policy(r#","methods":"read-only""#));
    let outcome = host.request(root, &Incoming::get("www.example.com"));
    assert!(outcome.goes_on);
    assert_eq!(outcome.calls, [Call::Pairs]);
    assert_eq!(outcome.filter_state, None);
}

#[test]
fn inspected_tls_takes_one_hostcall_more_and_cleartext_two() {
    let (host, root) = Host::with_policy(&policy(r#","tls":"inspected""#));
    let inside = host.request(root, &Incoming::get("example.com").inside_tls("example.com"));
    assert!(inside.goes_on);
    assert_eq!(inside.calls, [Call::Pairs, Call::GetProperty]);

    let outside = host.request(root, &Incoming::get("example.com"));
    assert!(outside.goes_on);
    assert_eq!(outside.calls, [Call::Pairs, Call::GetProperty, Call::GetProperty]);
}

fn connect(authority: &str) -> Incoming {
    Incoming::new("CONNECT", authority, "").without(":path").more_follows()
}

#[test]
fn a_tunnel_that_goes_on_is_announced() {
    let (host, root) = Host::with_policy(
        r#"{"internet_access":"on","tls":"inspected","allowlist":{"domains":
            ["example.com","192.0.2.7",{"domain":"pinned.example.org","tls":"passthrough"}]}}"#,
    );
    for (authority, tunnel, tls) in [
        ("EXAMPLE.com.:443", "example.com", "inspected"),
        ("a.example.com:443", "a.example.com", "inspected"),
        ("Pinned.example.org:443", "pinned.example.org", "passthrough"),
        ("192.0.2.7:443", "192.0.2.7", "inspected"),
    ] {
        let outcome = host.request(root, &connect(authority));
        assert!(outcome.goes_on, "{outcome:?}");
        assert_eq!(outcome.tunnel, Some((tunnel.to_owned(), tls.to_owned())), "{authority}");
    }
    for refused in ["evil.example:443", "example.com"] {
        let outcome = host.request(root, &connect(refused));
        assert!(!outcome.goes_on && outcome.tunnel.is_none(), "{outcome:?}");
    }
    assert_eq!(host.request(root, &Incoming::get("example.com")).tunnel, None);
    // Over TLS to the proxy too: who does not hear of it would not know that the inside matters.
    for (host_name, tls) in [("example.com", "inspected"), ("pinned.example.org", "passthrough")] {
        let outcome = host.request(root, &connect(&format!("{host_name}:443")).inside_tls(host_name));
        assert_eq!(outcome.tunnel, Some((host_name.to_owned(), tls.to_owned())), "{outcome:?}");
    }
}

#[test]
fn in_audit_mode_a_tunnel_that_would_be_refused_is_announced() {
    let (host, root) = Host::with_policy(r#"{"internet_access":"on","tls":"inspected","mode":"audit"}"#);
    let outcome = host.request(root, &connect("evil.example:443"));
    assert!(outcome.goes_on);
    assert_eq!(outcome.tunnel, Some(("evil.example".to_owned(), "inspected".to_owned())));
}

#[test]
fn a_proxy_that_could_look_inside_is_told_not_to() {
    let (host, root) = Host::with_policy(&policy(""));
    let outcome = host.request(root, &connect("example.com:443"));
    assert!(outcome.goes_on);
    assert_eq!(outcome.tunnel, Some(("example.com".to_owned(), "passthrough".to_owned())));
    assert_eq!(outcome.calls, [Call::Pairs, Call::SetProperty, Call::SetProperty]);
}

#[test]
fn a_policy_that_tells_ports_apart_asks_how_the_request_came() {
    let (host, root) = Host::with_policy(&policy(r#","ports":[443]"#));
    let inside = host.request(root, &Incoming::get("example.com").inside_tls("example.com"));
    assert!(inside.goes_on);
    assert_eq!(inside.calls, [Call::Pairs, Call::GetProperty]);
    assert_eq!(host.request(root, &Incoming::get("example.com")).refusal(), "port-not-allowed");
}

#[test]
fn tls_without_a_server_name_is_not_taken_for_cleartext() {
    let (host, root) = Host::with_policy(&policy(r#","tls":"inspected""#));
    let outcome = host.request(root, &Incoming::get("example.com").inside_tls(""));
    assert_eq!(outcome.refusal(), "tls-name-mismatch");
}

#[test]
fn a_refused_request_is_answered_recorded_and_counted() {
    let (host, root) = Host::with_policy(&policy(r#","methods":"read-only","name":"ci""#));
    let outcome = host.request(root, &Incoming::new("POST", "API.example.com", "/v1?q=1"));
    assert_eq!(outcome.calls, [Call::Pairs, Call::Log, Call::SetProperty, Call::Respond]);

    let response = outcome.response.clone().unwrap();
    let header =
        r#"deny; reason=method-not-allowed; host="api.example.com"; method=POST; rule="allowlist:example.com""#;
    assert_eq!(response.status, 403);
    assert_eq!(response.details, "weir.denied.method-not-allowed");
    assert_eq!(
        response.headers,
        [
            ("x-weir-decision", header),
            ("x-proxy-error", "blocked-by-method-policy"),
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let body = response.json();
    for (field, value) in [
        ("status", json!(403)),
        ("reason", json!("method-not-allowed")),
        ("host", json!("api.example.com")),
        ("method", json!("POST")),
        ("rule", json!("allowlist:example.com")),
        ("policy", json!("ci")),
    ] {
        assert_eq!(body[field], value, "{field} in {body}");
    }
    for field in ["type", "title", "detail"] {
        assert!(body[field].is_string(), "{field} in {body}");
    }

    assert_eq!(outcome.filter_state.as_deref(), Some(header));
    assert_eq!(outcome.log[0].0, WARN);
    let record = outcome.audit_record();
    assert!(record.to_string().contains("11111111-2222-4333-8444-555555555555"), "{record}");

    assert_eq!(host.counters(), counters(&[]));
    host.tick(root);
    assert_eq!(host.counters(), counters(&[("weir.denied.method-not-allowed", 1)]));
}

#[test]
fn minimal_detail_tells_the_client_the_reason_alone() {
    let (host, root) = Host::with_policy(&policy(r#","audit":{"detail":"minimal"}"#));
    let outcome = host.request(root, &Incoming::get("evil.example"));
    // The auditor is told all of it.
    assert!(outcome.filter_state.unwrap().contains("evil.example"));
    let response = outcome.response.unwrap();
    assert_eq!(response.header("x-weir-decision"), "deny; reason=domain-not-allowed");
    let body = response.json();
    let fields: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["reason", "status", "title", "type"]);
    assert!(!response.body.contains("evil.example"), "{body}");
}

#[test]
fn audit_log_selects_what_is_recorded() {
    for (log, denied_is, allowed_is) in [("denied", true, false), ("all", true, true), ("none", false, false)] {
        let (host, root) = Host::with_policy(&policy(&format!(r#","audit":{{"log":"{log}"}}"#)));
        let denied = host.request(root, &Incoming::get("evil.example"));
        assert_eq!(denied.refusal(), "domain-not-allowed");
        assert_eq!(denied.log.len(), usize::from(denied_is), "{log}");
        assert_eq!(denied.filter_state.is_some(), denied_is, "{log}");

        let allowed = host.request(root, &Incoming::get("example.com"));
        assert!(allowed.goes_on);
        assert_eq!(allowed.log.len(), usize::from(allowed_is), "{log}");
        assert_eq!(allowed.filter_state.is_some(), allowed_is, "{log}");
        if allowed_is {
            assert_eq!(allowed.log[0].0, INFO);
            assert!(allowed.filter_state.unwrap().starts_with("allow"));
        }

        host.tick(root);
        let expected = counters(&[("weir.allowed", 1), ("weir.denied.domain-not-allowed", 1)]);
        assert_eq!(host.counters(), expected, "{log}");
    }
}

#[test]
fn audit_mode_lets_go_on_what_it_would_refuse() {
    let (host, root) = Host::with_policy(&policy(r#","mode":"audit""#));
    let outcome = host.request(root, &Incoming::get("evil.example"));
    assert!(outcome.goes_on);
    assert_eq!(outcome.calls, [Call::Pairs, Call::Log, Call::SetProperty]);
    assert_eq!(outcome.log[0].0, WARN);
    let state = outcome.filter_state.unwrap();
    assert!(state.starts_with("would-deny; reason=domain-not-allowed"), "{state}");

    assert!(host.request(root, &Incoming::get("example.com")).goes_on);
    host.tick(root);
    let expected = counters(&[("weir.allowed", 1), ("weir.would_deny.domain-not-allowed", 1)]);
    assert_eq!(host.counters(), expected);
}

#[test]
fn counters_are_defined_when_the_policy_is_read() {
    let (host, root) = Host::with_policy(&policy(""));
    let defined = host.defined_counters();
    assert_eq!(defined.len(), 1 + 14);
    assert!(defined.contains("weir.allowed") && defined.contains("weir.denied.access-off"));
    assert_eq!(host.tick_period(), Some(1000));

    host.take_calls();
    assert!(host.configure(root, policy(r#","mode":"audit""#).as_bytes()));
    let defined = host.defined_counters();
    assert_eq!(defined.len(), 1 + 2 * 14);
    assert!(defined.contains("weir.would_deny.tls-name-mismatch"));
    let defined_again = host.take_calls().iter().filter(|call| **call == Call::DefineMetric).count();
    assert_eq!(defined_again, 14);
}

#[test]
fn counts_are_flushed_once_by_ticks_and_by_deletion() {
    let (host, root) = Host::with_policy(&policy(""));
    host.tick(root);
    assert_eq!(host.take_calls().len(), 1 + 1 + 15, "nothing to flush, no hostcall");

    for _ in 0..3 {
        host.request(root, &Incoming::get("example.com"));
    }
    host.request(root, &Incoming::get("evil.example"));
    host.tick(root);
    host.tick(root);
    assert_eq!(host.take_calls(), [Call::IncrementMetric; 2]);
    let expected = counters(&[("weir.allowed", 3), ("weir.denied.domain-not-allowed", 1)]);
    assert_eq!(host.counters(), expected);

    host.request(root, &Incoming::get("example.com"));
    host.delete(root);
    let expected = counters(&[("weir.allowed", 4), ("weir.denied.domain-not-allowed", 1)]);
    assert_eq!(host.counters(), expected);
}

#[test]
fn a_count_that_the_host_does_not_take_is_kept() {
    let (host, root) = Host::with_policy(&policy(""));
    host.request(root, &Incoming::get("example.com"));
    host.fail(Call::IncrementMetric, Fault::Status(10));
    host.tick(root);
    host.heal();
    host.tick(root);
    assert_eq!(host.counters(), counters(&[("weir.allowed", 1)]));
}

#[test]
fn two_policies_of_one_vm_do_not_mix() {
    let (host, old) = Host::with_policy(&policy(""));
    let new = host.create_root();
    assert!(host.configure(new, br#"{"internet_access":"on","allowlist":{"domains":["example.org"]}}"#));
    assert!(host.request(old, &Incoming::get("example.com")).goes_on);
    assert!(host.request(new, &Incoming::get("example.org")).goes_on);
    assert_eq!(host.request(new, &Incoming::get("example.com")).refusal(), "domain-not-allowed");
    host.delete(old);
    assert!(host.request(new, &Incoming::get("example.org")).goes_on);
    host.tick(new);
    let expected = counters(&[("weir.allowed", 3), ("weir.denied.domain-not-allowed", 1)]);
    assert_eq!(host.counters(), expected);
}

#[test]
fn every_mistake_is_one_line_of_the_log() {
    let host = Host::start();
    let root = host.create_root();
    assert!(!host.configure(root, br#"{"internet_access":"maybe","methds":"all"}"#));
    let log = host.take_log();
    assert_eq!(log.len(), 2, "{log:?}");
    for (level, line) in &log {
        assert_eq!(*level, ERROR);
        assert!(line.starts_with("policy: "), "{line}");
    }
}

#[test]
fn head_is_answered_like_any_other() {
    let (host, root) = Host::with_policy(&policy(""));
    let outcome = host.request(root, &Incoming::new("HEAD", "evil.example", "/"));
    assert_eq!(outcome.refusal(), "domain-not-allowed");
}

#[test]
fn what_hides_a_body_or_a_method_is_seen() {
    let (host, root) = Host::with_policy(&policy(r#","methods":"read-only""#));
    let get = || Incoming::get("example.com");
    for (reason, incoming) in [
        ("body-not-allowed", get().with("content-length", "5")),
        ("body-not-allowed", get().with("content-length", "0").with("content-length", "5")),
        ("body-not-allowed", get().with("content-length", "5").with("content-length", "0")),
        ("body-not-allowed", get().with("content-length", "0, 5")),
        ("body-not-allowed", get().with("content-length", "")),
        ("body-not-allowed", get().with("content-length", "\u{ff}")),
        ("body-not-allowed", get().with("transfer-encoding", "chunked")),
        ("body-not-allowed", get().with("transfer-encoding", "")),
        ("body-not-allowed", get().more_follows()),
        ("body-not-allowed", get().with("content-length", "0").more_follows()),
        ("upgrade-not-allowed", get().with("upgrade", "websocket").more_follows()),
        ("upgrade-not-allowed", get().with(":protocol", "websocket")),
        ("upgrade-not-allowed", get().with("upgrade", "")),
        ("method-override", get().with("x-http-method-override", "DELETE")),
        ("method-override", get().with("x-http-method", "")),
        ("method-override", get().with("x-method-override", b"\xff")),
        ("method-override", get().with("x_http_method_override", "DELETE")),
        ("method-override", get().with("x-http_method", "DELETE")),
        ("method-not-allowed", Incoming::new("get", "example.com", "/")),
        ("method-not-allowed", Incoming::new("", "example.com", "/")),
        ("method-not-allowed", get().without(":method")),
        ("method-not-allowed", Incoming::new(b"GET\xff", "example.com", "/")),
    ] {
        assert_eq!(host.request(root, &incoming).refusal(), reason, "{incoming:?}");
    }
    for incoming in [
        get().with("content-length", "0"),
        get().with("content-length", "00"),
        get().with("x-http-method-overrid", "DELETE"),
        get().with("x.http.method", "DELETE"),
    ] {
        assert!(host.request(root, &incoming).goes_on, "{incoming:?}");
    }
}

#[test]
fn a_request_that_contradicts_itself_has_no_authority() {
    let (host, root) = Host::with_policy(&policy(""));
    let get = || Incoming::get("example.com");
    for incoming in [
        get().with(":authority", "example.com"),
        get().with(":authority", "evil.example"),
        get().with("host", "evil.example"),
        get().with("host", ""),
        get().with("host", "example.com").with("host", "example.com"),
        get().with(":method", "GET"),
        get().with(":path", "/"),
        get().without(":authority").with("host", "example.com"),
        get().without(":authority"),
    ] {
        assert_eq!(host.request(root, &incoming).refusal(), "authority-invalid", "{incoming:?}");
    }
    assert!(host.request(root, &get().with("host", "example.com")).goes_on);
}

#[test]
fn of_a_repeated_header_the_first_counts() {
    let (host, root) = Host::with_policy(&policy(r#","methods":"read-only","allow":["git-fetch"]"#));
    let fetch = "application/x-git-upload-pack-request";
    let post = || Incoming::new("POST", "example.com", "/a.git/git-upload-pack");
    assert!(host.request(root, &post().with("content-type", fetch).with("content-type", "text/plain")).goes_on);
    let outcome = host.request(root, &post().with("content-type", "text/plain").with("content-type", fetch));
    assert_eq!(outcome.refusal(), "method-not-allowed");

    let outcome = host.request(root, &Incoming::get("evil.example").with("x-request-id", "second"));
    assert_eq!(outcome.audit_record()["request_id"], "11111111-2222-4333-8444-555555555555");
}
