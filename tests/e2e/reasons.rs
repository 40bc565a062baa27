//! Every reason of the contract, by a real request through Envoy: what the client gets, and what the logs and counters
//! record.
//!
//! This file has the expected texts word for word. The decision tables compare with the policy crate's own output.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy takes only the test functions themselves for tests"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use weir_policy::Reason;
use weir_tests::refusal::{DecisionHeader, REASONS};
use weir_tests::{Answer, Failures, Outcome, Proxy, audit, http1};

/// For all reasons but the first and the last.
const POLICY: &[u8] = br#"{
    "name": "reasons", "internet_access": "on", "denylist": ["denied.example.com"],
    "allowlist": {"domains": [
        "example.com",
        {"domain": "ro.example.com", "methods": ["GET", "HEAD"]},
        {"domain": "paths.example.com", "paths": ["/v1/"]}
    ]}
}"#;
const OFF: &[u8] = br#"{"name": "reasons"}"#;
const INSPECTED: &[u8] =
    br#"{"name": "reasons", "internet_access": "on", "tls": "inspected", "allowlist": {"domains": ["example.com"]}}"#;

/// A refused request, and what must be reported about it.
struct Refused {
    reason: &'static str,
    /// Head and body, as sent.
    request: &'static [u8],
    host: &'static str,
    /// `None` if the authority could not be parsed.
    port: Option<u16>,
    method: &'static str,
    rule: Option<&'static str>,
    /// In the audit record, only for `path-not-allowed`.
    path: Option<&'static str>,
}

const GET: Refused =
    Refused { reason: "", request: b"", host: "", port: Some(80), method: "GET", rule: None, path: None };

const ACCESS_OFF: Refused = Refused {
    reason: "access-off",
    request: b"GET /access-off?token=secret HTTP/1.1\r\nhost: example.com\r\n\r\n",
    host: "example.com",
    ..GET
};

const TLS_NAME_MISMATCH: Refused = Refused {
    reason: "tls-name-mismatch",
    request: b"GET /tls-name-mismatch HTTP/1.1\r\nhost: www.example.com\r\n\r\n",
    host: "www.example.com",
    port: Some(443),
    rule: Some("allowlist:example.com"),
    ..GET
};

const REFUSED: [Refused; 12] = [
    Refused {
        reason: "authority-invalid",
        request: b"GET / HTTP/1.1\r\nhost: user@example.com\r\n\r\n",
        host: "user@example.com",
        port: None,
        ..GET
    },
    Refused {
        reason: "ip-literal",
        request: b"GET / HTTP/1.1\r\nhost: 192.0.2.7:443\r\n\r\n",
        host: "192.0.2.7",
        port: Some(443),
        ..GET
    },
    Refused {
        reason: "special-name",
        request: b"GET / HTTP/1.1\r\nhost: metadata.google.internal\r\n\r\n",
        host: "metadata.google.internal",
        ..GET
    },
    Refused {
        reason: "domain-denied",
        request: b"DELETE /x HTTP/1.1\r\nhost: A.Denied.Example.COM\r\n\r\n",
        host: "a.denied.example.com",
        method: "DELETE",
        rule: Some("denylist:denied.example.com"),
        ..GET
    },
    Refused {
        reason: "domain-not-allowed",
        request: b"GET /?q=secret HTTP/1.1\r\nhost: evil.example:8080\r\n\r\n",
        host: "evil.example",
        port: Some(8080),
        ..GET
    },
    Refused {
        reason: "port-not-allowed",
        request: b"GET / HTTP/1.1\r\nhost: www.example.com:22\r\n\r\n",
        host: "www.example.com",
        port: Some(22),
        rule: Some("allowlist:example.com"),
        ..GET
    },
    Refused {
        reason: "method-not-allowed",
        request: b"POST / HTTP/1.1\r\nhost: ro.example.com\r\ncontent-length: 5\r\n\r\nhello",
        host: "ro.example.com",
        method: "POST",
        rule: Some("allowlist:ro.example.com"),
        ..GET
    },
    Refused {
        reason: "method-override",
        request: b"GET / HTTP/1.1\r\nhost: ro.example.com\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
        host: "ro.example.com",
        rule: Some("allowlist:ro.example.com"),
        ..GET
    },
    Refused {
        reason: "body-not-allowed",
        request: b"GET / HTTP/1.1\r\nhost: ro.example.com\r\ncontent-length: 5\r\n\r\nhello",
        host: "ro.example.com",
        rule: Some("allowlist:ro.example.com"),
        ..GET
    },
    Refused {
        reason: "upgrade-not-allowed",
        request: b"GET / HTTP/1.1\r\nhost: ro.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        host: "ro.example.com",
        rule: Some("allowlist:ro.example.com"),
        ..GET
    },
    Refused {
        reason: "tunnel-not-inspected",
        request: b"CONNECT ro.example.com:443 HTTP/1.1\r\nhost: ro.example.com:443\r\n\r\n",
        host: "ro.example.com",
        port: Some(443),
        method: "CONNECT",
        rule: Some("allowlist:ro.example.com"),
        ..GET
    },
    Refused {
        reason: "path-not-allowed",
        request: b"GET /v2/x?token=secret HTTP/1.1\r\nhost: paths.example.com\r\n\r\n",
        host: "paths.example.com",
        rule: Some("allowlist:paths.example.com"),
        path: Some("/v2/x"),
        ..GET
    },
];

fn get(connection: &mut http1::Connection, host: &str, path: &str) -> Outcome {
    connection.exchange(b"GET", format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())
}

/// Sends the request and checks the answer and the logs.
fn check(failures: &Failures, proxy: &Proxy, mut connection: http1::Connection, refused: &Refused) {
    let id = refused.reason;
    let before = (audit::records(proxy).len(), audit::access(proxy).len());
    let outcome = connection.exchange(refused.method.as_bytes(), refused.request);
    let Some(answer) = outcome.answer() else {
        return failures.add(id, format_args!("no answer: {outcome}"));
    };
    check_answer(failures, answer, refused);
    proxy.envoy.wait_for_logs(Duration::from_secs(10), |log, access| {
        let records = log.iter().filter_map(|line| line.from_plugin()).filter(|line| line.starts_with('{')).count();
        records > before.0 && access.len() > before.1
    });
    let records = audit::records(proxy).split_off(before.0);
    let access = audit::access(proxy).split_off(before.1);
    let ([record], [access]) = (&records[..], &access[..]) else {
        return failures.add(id, format_args!("one audit record and one line: {records:?} {access:?}"));
    };
    let request_id = record["request_id"].as_str().unwrap_or_default();
    let is_uuid = request_id.len() == 36 && request_id.bytes().filter(|byte| *byte == b'-').count() == 4;
    failures.check(id, is_uuid, format_args!("request_id: {record}"));
    let mut expected = json!({
        "decision": "deny", "reason": id, "host": refused.host, "method": refused.method,
        "rule": refused.rule, "policy": "reasons", "request_id": request_id,
    });
    if let Some(port) = refused.port {
        expected["port"] = json!(port);
    }
    if let Some(path) = refused.path {
        expected["path"] = json!(path);
    }
    failures.same(id, "audit record", &expected, record);
    failures.same(id, "access log: request_id", &json!(request_id), &access["request_id"]);
    failures.same(id, "access log: status", &json!(403), &access["status"]);
    failures.same(id, "access log: decision", &json!(answer.header("x-weir-decision")), &access["decision"]);
    let logged = format!("{record}{access}");
    failures.check(id, !logged.contains("secret"), format_args!("a query is in the logs: {logged}"));
}

fn check_answer(failures: &Failures, answer: &Answer, refused: &Refused) {
    let id = refused.reason;
    failures.same(id, "status", &403, &answer.status);
    let method = refused.method;
    let mut header = format!("deny; reason={id}; host=\"{}\"; method={method}", refused.host);
    if let Some(rule) = refused.rule {
        header = format!("{header}; rule=\"{rule}\"");
    }
    failures.same(id, "x-weir-decision", &Some(header.as_str()), &answer.header("x-weir-decision"));
    failures.check(id, DecisionHeader::parse(&header).is_some(), "x-weir-decision is not a structured field");
    let word = REASONS.iter().find(|(reason, _)| *reason == id).map(|(_, word)| *word);
    failures.same(id, "x-proxy-error", &word, &answer.header("x-proxy-error"));
    failures.same(id, "content-type", &Some("application/problem+json"), &answer.header("content-type"));
    failures.same(id, "cache-control", &Some("no-store"), &answer.header("cache-control"));
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return failures.add(id, format_args!("the body is no JSON: {:?}", answer.text()));
    };
    let detail = body["detail"].as_str().unwrap_or_default();
    let says = ["This is deliberate", "trying again", "the policy \"reasons\"", "can change it"];
    for says in says {
        failures.check(id, detail.contains(says), format_args!("detail lacks {says:?}: {detail:?}"));
    }
    let expected = json!({
        "type": format!("urn:weir:denied:{id}"), "title": "Refused by the egress policy", "status": 403,
        "detail": detail, "reason": id, "host": refused.host, "method": method, "rule": refused.rule,
        "policy": "reasons",
    });
    failures.same(id, "body", &expected, &body);
}

fn grown(reasons: impl IntoIterator<Item = &'static str>) -> BTreeMap<String, u64> {
    reasons.into_iter().map(|reason| (format!("weir.denied.{reason}"), 1)).collect()
}

#[test]
fn every_reason_is_produced_and_reported() {
    let failures = Failures::default();
    let mut seen: Vec<&str> = Vec::new();

    let mut proxy = Proxy::start(POLICY);
    let before = proxy.counters();
    for refused in &REFUSED {
        check(&failures, &proxy, proxy.http1(), refused);
        seen.push(refused.reason);
    }
    let growth = grown(REFUSED.iter().map(|refused| refused.reason));
    proxy.counters_grew(&before, &growth).unwrap_or_else(|error| failures.add("counters", error));

    proxy.set_policy(OFF);
    let before = proxy.counters();
    check(&failures, &proxy, proxy.http1(), &ACCESS_OFF);
    seen.push(ACCESS_OFF.reason);
    proxy.counters_grew(&before, &grown(["access-off"])).unwrap_or_else(|error| failures.add("counters", error));
    failures.same("afterwards", "requests at the stand-in", &0, &proxy.internet.take_received().len());
    no_host_in_a_metric(&failures, &proxy);

    let proxy = Proxy::start_tls(INSPECTED);
    let before = proxy.counters();
    check(&failures, &proxy, proxy.http1_tls("example.com"), &TLS_NAME_MISMATCH);
    seen.push(TLS_NAME_MISMATCH.reason);
    let growth = grown(["tls-name-mismatch"]);
    proxy.counters_grew(&before, &growth).unwrap_or_else(|error| failures.add("counters", error));
    failures.same("afterwards", "requests at the stand-in", &0, &proxy.internet.take_received().len());
    no_host_in_a_metric(&failures, &proxy);

    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !seen.contains(&reason.code())).collect();
    assert!(missing.is_empty(), "nothing produces {missing:?}");
    eprintln!("{} reasons produced", seen.len());
}

/// Otherwise a client could create any number of counters.
fn no_host_in_a_metric(failures: &Failures, proxy: &Proxy) {
    let stats = proxy.envoy.stats("").unwrap();
    failures.check("metrics", stats.len() > 100, format_args!("only {} of them", stats.len()));
    for name in stats.keys() {
        let shows = ["example", "192.0.2.7", "192_0_2_7", "google", "user@"].iter().find(|host| name.contains(*host));
        failures.check("metrics", shows.is_none(), format_args!("{name} tells a host"));
    }
}

/// A gRPC client does not read the HTTP status: Envoy sends it a gRPC status (7 is `PERMISSION_DENIED`).
#[test]
fn grpc_clients_get_a_grpc_status() {
    let proxy = Proxy::start(POLICY);
    let fields: [(&[u8], &[u8]); 6] = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/package.Service/Method"),
        (b":authority", b"evil.example"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ];
    let refused = proxy.http2().exchange(&fields).expect_answer();
    assert_eq!((refused.status, refused.header("grpc-status")), (200, Some("7")), "{:?}", refused.headers);
    assert_eq!(refused.reason(), Some("domain-not-allowed"));
    assert!(refused.header("grpc-message").is_some_and(|message| message.contains("urn:weir:denied")), "{refused:?}");
    assert!(proxy.internet.take_received().is_empty());
}

#[test]
fn head_is_answered_without_a_body() {
    let proxy = Proxy::start(POLICY);
    let mut connection = proxy.http1();
    let head = connection.exchange(b"HEAD", b"HEAD / HTTP/1.1\r\nhost: evil.example\r\n\r\n").expect_answer();
    assert_eq!(head.status, 403);
    let decision = r#"deny; reason=domain-not-allowed; host="evil.example"; method=HEAD"#;
    assert_eq!(head.header("x-weir-decision"), Some(decision));
    assert_eq!(head.header("x-proxy-error"), Some("blocked-by-allowlist"));
    assert_eq!(head.header("content-type"), Some("application/problem+json"));
    // The client would read a body as the beginning of the next answer on this connection.
    assert_eq!(get(&mut connection, "example.com", "/").status(), Some(200));

    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"HEAD"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"evil.example")];
    let head = proxy.http2().exchange(&fields).expect_answer();
    assert_eq!((head.status, head.body.len()), (403, 0));
    assert_eq!(head.header("x-weir-decision"), Some(decision));
}

/// Clients must be able to trust these headers, and origins the method.
#[test]
fn headers_are_the_proxys_own() {
    const OPEN: &[u8] = br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#;
    let proxy = Proxy::start(OPEN);
    let forged = get(&mut proxy.http1(), "example.com", "/forge").expect_answer();
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/forge"), (b":authority", b"example.com")];
    let forged2 = proxy.http2().exchange(&fields).expect_answer();
    for answer in [forged, forged2] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("server"), Some("stand-in"), "it is the origin that answered");
        assert!(!answer.has("x-weir-decision") && !answer.has("x-proxy-error"), "{:?}", answer.headers);
    }

    // This policy restricts no methods, so the request passes, but without the headers that could change its method.
    proxy.internet.take_received();
    let request = b"POST / HTTP/1.1\r\nhost: example.com\r\nX-HTTP-Method-Override: DELETE\r\nx-http-method: PUT\r\n\
        X-Method-Override: PATCH\r\nx-http-method-override: GET\r\nx-weir-decision: allow\r\nx-kept: 1\r\n\
        content-length: 5\r\n\r\nhello";
    assert_eq!(proxy.http1().exchange(b"POST", request).status(), Some(200));
    let received = proxy.internet.take_received();
    let [received] = &received[..] else { unreachable!("one request: {received:?}") };
    assert_eq!((&*received.method, received.body), ("POST", 5));
    assert_eq!(received.header("x-kept"), Some("1"));
    for name in weir_cases::OVERRIDES.into_iter().chain(["x-weir-decision"]) {
        assert_eq!(received.header(name), None, "{name}");
    }
}
