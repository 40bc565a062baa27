//! The case tables, each request as the header map that Envoy would show, each document as the
//! configuration that it would hand over. What is compared is what leaves the plugin.

use std::{
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::{Value, json};
use weir_cases::{AuthorityCase, AuthorityExpectation, DecisionCase, DecisionGroup, Framing, RequestCase};

use crate::host::{Host, Incoming, Outcome, Response};

/// This way of running a case, in the tables' `not_over`.
const WAY: &str = "fake_host";

/// Runs every case, then fails with the names of those that failed.
fn run_all<C>(cases: impl Iterator<Item = (String, C)>, check: impl Fn(C)) {
    let (mut run, mut failed) = (0, Vec::new());
    for (name, case) in cases {
        run += 1;
        if catch_unwind(AssertUnwindSafe(|| check(case))).is_err() {
            println!("^ {name}\n");
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{} of {run} cases failed: {failed:#?}", failed.len());
    assert!(run > 10, "only {run} cases");
}

#[test]
fn decisions() {
    let groups = weir_cases::decisions();
    let cases = groups.iter().flat_map(|group| group.cases.iter().map(move |case| (group, case)));
    let here = cases.filter(|(_, case)| !case.not_over.contains_key(WAY));
    let named = here.map(|(group, case)| (format!("{}/{}", group.id, case.id), (group, case)));
    run_all(named, |(group, case)| {
        for incoming in ways_to_send(&case.request) {
            check_decision(group, case, &incoming);
        }
    });
}

fn check_decision(group: &DecisionGroup, case: &DecisionCase, incoming: &Incoming) {
    let document = group.document();
    let policy: Value = serde_json::from_slice(&document).unwrap_or_default();
    let (audits, minimal) = (policy["mode"] == "audit", policy["audit"]["detail"] == "minimal");
    let expected = &*case.expect;

    let host = Host::start();
    let root = host.create_root();
    assert!(host.configure(root, &document), "{:?}", host.take_log());
    let outcome = host.request(root, incoming);

    let counter = if expected == "allow" {
        "weir.allowed".to_owned()
    } else {
        format!("weir.{}.{expected}", if audits { "would_deny" } else { "denied" })
    };
    if expected == "allow" || audits {
        assert!(outcome.goes_on && outcome.response.is_none(), "{incoming:?}: {outcome:#?}");
    } else {
        check_refusal(&outcome, expected, minimal);
    }
    let record = outcome.log.first().map(|_| outcome.audit_record());
    let body = outcome.response.as_ref().filter(|_| !minimal).map(Response::json);
    for told in [record, body].into_iter().flatten() {
        assert!(case.rule.is(told["rule"].as_str()), "{:?} {told}", case.rule);
    }
    host.tick(root);
    assert_eq!(Vec::from_iter(host.counters()), [(counter, 1)], "{incoming:?}");
}

/// How the ways of sending one case look to a filter: HTTP/1.1 names a body in its headers, HTTP/2
/// may leave that to the end of the stream, but for tunnels and upgrades, which never end there.
fn ways_to_send(case: &RequestCase) -> Vec<Incoming> {
    let mut incoming =
        Incoming::new(case.method(), case.authority().unwrap_or_default(), case.path().unwrap_or_default());
    if case.authority().is_none() {
        incoming = incoming.without(":authority");
    }
    if case.path().is_none() {
        incoming = incoming.without(":path");
    }
    for (name, value) in &case.headers {
        incoming = incoming.with(name, &**value);
    }
    if let Some(protocol) = &case.upgrade {
        incoming = incoming.with("upgrade", protocol);
    }
    if let Some(server_name) = &case.tls {
        incoming = incoming.inside_tls(&**server_name);
    }
    let stays_open = case.upgrade.is_some() || case.method() == b"CONNECT";
    if stays_open {
        incoming = incoming.more_follows();
    }
    let named = match case.framing() {
        None => return vec![incoming],
        Some(Framing::ZeroLength) => return vec![incoming.with("content-length", "0")],
        Some(Framing::Length) => incoming.clone().with("content-length", "5"),
        Some(Framing::Chunked | Framing::ChunkedEmpty) => incoming.clone().with("transfer-encoding", "chunked"),
    };
    let unnamed = (!stays_open).then_some(incoming);
    [named].into_iter().chain(unnamed).map(Incoming::more_follows).collect()
}

fn check_refusal(outcome: &Outcome, reason: &str, minimal: bool) {
    assert_eq!(outcome.refusal(), reason);
    let response = outcome.response.as_ref().unwrap();
    assert_eq!(response.details, format!("weir.denied.{reason}"));
    assert_eq!(response.header("x-proxy-error"), proxy_error(reason));
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert_eq!(response.header("cache-control"), "no-store");
    let header = response.header("x-weir-decision");
    let body = response.json();
    assert_eq!((&body["status"], &body["reason"]), (&json!(403), &json!(reason)));
    if minimal {
        assert_eq!(header, format!("deny; reason={reason}"));
        assert_eq!(body.as_object().unwrap().len(), 4, "{body}");
        return;
    }
    let host = body["host"].as_str().unwrap().replace('\\', r"\\").replace('"', "\\\"");
    assert!(header.contains(&format!("; host=\"{host}\"")), "{header} {body}");
    let rule = body["rule"].as_str().map(|rule| format!("; rule=\"{rule}\""));
    assert_eq!(header.contains("; rule="), rule.is_some(), "{header} {body}");
    assert!(header.ends_with(&rule.unwrap_or_default()), "{header} {body}");
}

/// `x-proxy-error` of a reason, as docs/reasons.md lists it.
fn proxy_error(reason: &str) -> &'static str {
    match reason {
        "access-off" | "authority-invalid" | "port-not-allowed" | "path-not-allowed" | "tls-name-mismatch" => {
            "blocked-by-policy"
        }
        "ip-literal" | "special-name" | "domain-not-allowed" => "blocked-by-allowlist",
        "domain-denied" => "blocked-by-denylist",
        "method-not-allowed" | "method-override" | "body-not-allowed" | "upgrade-not-allowed" => {
            "blocked-by-method-policy"
        }
        "tunnel-not-inspected" => "blocked-by-mitm-required",
        _ => panic!("no such reason: {reason}"),
    }
}

#[test]
fn authorities() {
    let cases = weir_cases::authorities();
    let here = cases.iter().filter(|case| !case.not_over.contains_key(WAY));
    run_all(here.map(|case| (case.id.clone(), case)), check_authority);
}

fn check_authority(case: &AuthorityCase) {
    let (host, root) = Host::with_policy(
        r#"{"internet_access":"on","allowlist":{"preset":"all"},"ports":"any","audit":{"log":"all"}}"#,
    );
    let outcome = host.request(root, &Incoming::get(&*case.input));
    let (kind, expected, port) = match &case.expect {
        AuthorityExpectation::Invalid(_) => return assert_eq!(outcome.refusal(), "authority-invalid"),
        AuthorityExpectation::Valid { kind, host, port } => (&**kind, String::from_utf8_lossy(host), port),
    };
    let told = outcome.audit_record();
    let told_host = told["host"].as_str().unwrap();
    match kind {
        "name" if outcome.goes_on => assert_eq!(told_host, expected),
        "name" => assert_eq!((outcome.refusal(), told_host), ("special-name", &*expected)),
        "numeric" => assert_eq!((outcome.refusal(), told_host), ("ip-literal", &*expected)),
        "address" => {
            let address: IpAddr = told_host.trim_matches(['[', ']']).parse().unwrap();
            assert_eq!(address, expected.parse::<IpAddr>().unwrap());
            assert!(outcome.goes_on || outcome.refusal() == "ip-literal");
        }
        kind => panic!("no such kind: {kind}"),
    }
    assert_eq!(told["port"], json!(port.unwrap_or(80)), "{told}");
}

#[test]
fn refused_policies() {
    let cases = weir_cases::refused_policies();
    run_all(cases.iter().map(|case| (case.id.clone(), case)), |case| {
        let host = Host::start();
        let root = host.create_root();
        assert!(!host.configure(root, &case.document));
        let log = host.take_log();
        assert!(log.len() == case.mistakes.len() || case.at_least && log.len() > case.mistakes.len(), "{log:#?}");
        for mistake in &case.mistakes {
            let is_told = |(_, line): &(u32, String)| {
                let message = line.strip_prefix("policy: ").unwrap_or_else(|| panic!("{line}"));
                let place = mistake.place.as_deref().unwrap_or_default();
                message.starts_with(place) && mistake.is(place, message)
            };
            assert!(log.iter().any(is_told), "{mistake:?} is not in {log:#?}");
        }
        assert_eq!(host.request(root, &Incoming::get("example.com")).refusal(), "access-off");
    });
}

#[test]
fn accepted_policies() {
    let cases = weir_cases::accepted_policies();
    run_all(cases.iter().map(|case| (case.id.clone(), case)), |case| {
        let host = Host::start();
        let root = host.create_root();
        assert!(host.configure(root, &case.document), "{:?}", host.take_log());
        assert_eq!(host.take_log(), []);
    });
}
