//! `weir explain`.

use serde_json::{Value, json};

use super::{Folder, Ran, run};

const POLICY: &str = r#"{"name": "ci", "internet_access": "on", "denylist": ["gist.github.com"], "methods": "read-only",
    "allowlist": {"preset": "common-dependencies", "domains": [
        {"domain": "api.example", "methods": "all", "paths": ["/v1"]}, {"domain": "any.example", "methods": "all"}]}}"#;

/// Explains under the policy above; `--json` unless told otherwise.
fn explain(arguments: &[&str]) -> Ran {
    run(&[&["explain", "--policy", "-"], arguments].concat(), POLICY)
}

fn of(policy: &str, arguments: &[&str]) -> Value {
    run(&[&["explain", "--json", "--policy", "-"], arguments].concat(), policy).json()
}

#[test]
fn the_steps_are_told_up_to_the_first_refusal() {
    let ran = explain(&["POST", "http://github.com/x?y"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!(ran.stderr, "");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..8],
        [
            "sent as POST http://github.com/x?y",
            "  \u{2713} internet access  on",
            "  \u{2713} authority        the name github.com",
            "  \u{2713} denylist         no entry covers the host",
            "  \u{2713} allowlist        common-dependencies:github.com",
            "  \u{2713} port             80 (allowed: 80, 443)",
            "  \u{2717} method           POST (allowed: GET, HEAD, OPTIONS)",
            "deny: method-not-allowed by common-dependencies:github.com",
        ]
    );
    assert!(lines[8].starts_with("  The policy does not allow POST at github.com."), "{}", lines[8]);
    assert_eq!(lines.len(), 9);
}

#[test]
fn an_allowed_request_takes_every_step() {
    let ran = explain(&["GET", "http://github.com"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stdout.lines().count(), 10);
    assert!(ran.stdout.ends_with("  \u{2713} TLS name         no TLS here\nallow by common-dependencies:github.com\n"));
}

#[test]
fn exit_codes_and_reasons() {
    for (arguments, code, reason) in [
        (&["GET", "http://github.com/"][..], 0, ""),
        (&["GET", "https://github.com/"], 3, "tunnel-not-inspected"),
        (&["GET", "https://any.example/"], 0, ""),
        (&["GET", "wss://any.example/"], 0, ""),
        (&["GET", "ws://any.example/"], 0, ""),
        (&["GET", "ws://github.com/"], 3, "upgrade-not-allowed"),
        (&["CONNECT", "github.com:443"], 3, "tunnel-not-inspected"),
        (&["CONNECT", "any.example:443"], 0, ""),
        (&["CONNECT", "any.example"], 3, "authority-invalid"),
        (&["get", "http://github.com/"], 3, "method-not-allowed"),
        (&["GET", "http://gist.github.com/"], 3, "domain-denied"),
        (&["GET", "http://evilgithub.com/"], 3, "domain-not-allowed"),
        (&["GET", "http://0x7f.1/"], 3, "ip-literal"),
        (&["GET", "http://[::1]/"], 3, "ip-literal"),
        (&["GET", "http://localhost/"], 3, "special-name"),
        (&["GET", "http://github.com:22/"], 3, "port-not-allowed"),
        (&["GET", "http://me@github.com/"], 3, "authority-invalid"),
        (&["GET", "http://%67ithub.com/"], 3, "authority-invalid"),
        (&["GET", "http:///"], 3, "authority-invalid"),
        (&["GET", "http://api.example/v1/x"], 0, ""),
        (&["GET", "http://api.example/v1/../x"], 3, "path-not-allowed"),
        (&["GET", "http://github.com/", "--body"], 3, "body-not-allowed"),
        (&["GET", "http://github.com/", "-H", "content-length: 5"], 3, "body-not-allowed"),
        (&["GET", "http://github.com/", "-H", "X-HTTP-Method: PUT"], 3, "method-override"),
        (&["GET", "http://github.com/", "-H", "upgrade: websocket"], 3, "upgrade-not-allowed"),
        (&["GET", "http://github.com/", "-H", "x_http_method_override: DELETE"], 3, "method-override"),
        (&["GET", "http://github.com/", "-H", "X-HTTP_Method: PUT"], 3, "method-override"),
        (&["GET", "http://github.com/", "-H", "x-http-methods: PUT"], 0, ""),
        (&["GET", "http://github.com/", "-H", "content-length: 0"], 0, ""),
        (&["GET", "http://github.com/", "-H", "content-length:"], 3, "body-not-allowed"),
        (&["GET", "http://github.com/", "-H", "content-length: 0", "-H", "content-length: 5"], 3, "body-not-allowed"),
        (&["GET", "http://github.com/", "-H", "Transfer-Encoding: chunked"], 3, "body-not-allowed"),
        (&["GET", "http://github.com/", "-H", ":protocol: websocket"], 3, "upgrade-not-allowed"),
        (&["GET", "http://github.com/", "-H", "upgrade: websocket", "--body"], 3, "upgrade-not-allowed"),
    ] {
        let ran = explain(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.json()["reason"].as_str().unwrap_or_default(), reason, "{arguments:?}");
    }
}

/// A request of the tables as arguments; `None` if it cannot be written so.
fn arguments(request: &weir_cases::RequestCase) -> Option<Vec<String>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().filter(|text| !text.contains('\0'));
    let (method, authority) = (text(request.method())?, text(request.authority()?)?);
    if request.tls.is_some() || method.starts_with('-') || method == "TLS" {
        return None;
    }
    let url = match request.path() {
        None if method == "CONNECT" => authority,
        Some(path) if method != "CONNECT" && path.starts_with(b"/") => {
            let path = text(path).filter(|path| !path.contains('#'))?;
            if authority.contains(['/', '?', '#']) {
                return None;
            }
            format!("http://{authority}{path}")
        }
        _ => return None,
    };
    if url.starts_with('-') || method == "CONNECT" && url.contains("://") {
        return None;
    }
    let mut arguments = vec![method, url];
    let framing = match request.framing() {
        None => None,
        Some(weir_cases::Framing::Length) => Some(("content-length", "5")),
        Some(weir_cases::Framing::ZeroLength) => Some(("content-length", "0")),
        Some(weir_cases::Framing::Chunked | weir_cases::Framing::ChunkedEmpty) => {
            Some(("transfer-encoding", "chunked"))
        }
    };
    let upgrade = request.upgrade.as_deref().map(|protocol| ("upgrade", protocol));
    for (name, value) in framing.into_iter().chain(upgrade) {
        arguments.extend(["-H".to_owned(), format!("{name}: {value}")]);
    }
    for (name, value) in &request.headers {
        let value = text(value).filter(|value| value.trim() == value && name != "host")?;
        arguments.extend(["-H".to_owned(), format!("{name}: {value}")]);
    }
    Some(arguments)
}

#[test]
fn every_request_of_the_tables_is_explained_as_the_plugin_decides_it() {
    let mut compared = 0;
    for group in weir_cases::decisions() {
        let Ok(policy) = String::from_utf8(group.document()) else { continue };
        for case in &group.cases {
            let Some(arguments) = arguments(&case.request) else { continue };
            let explained = of(&policy, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
            let id = format!("{}/{}", group.id, case.id);
            assert_eq!(explained["reason"].as_str().unwrap_or("allow"), case.expect, "{id}: {explained}");
            assert!(case.rule.is(explained["rule"].as_str()), "{id}: {}", explained["rule"]);
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn tls_passthrough_is_decided_as_the_plugin_decides_it() {
    let mut compared = 0;
    for group in weir_cases::tls() {
        let policy = group.policy.to_string();
        for case in &group.cases {
            // Arguments cannot express an unknown port or a name that is not UTF-8; a client never sends an address as
            // a name, so explain treats it as a connection without one.
            let Ok(name) = str::from_utf8(&case.server_name) else { continue };
            let is_address = name.parse::<std::net::Ipv4Addr>().is_ok();
            if case.port == 0 || name.contains('\0') || is_address || name.starts_with('[') {
                continue;
            }
            let explained = of(&policy, &["TLS", &format!("{name}:{}", case.port)]);
            let id = format!("{}/{}", group.id, case.id);
            assert_eq!(explained["reason"].as_str().unwrap_or("allow"), case.expect, "{id}");
            assert!(case.rule.is(explained["rule"].as_str()), "{id}: {}", explained["rule"]);
            assert_eq!((&explained["method"], &explained["status"]), (&json!("TLS"), &Value::Null), "{id}");
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
}

#[test]
fn a_connection_that_was_closed_is_explained() {
    let ran = explain(&["TLS", "github.com:443"]);
    assert_eq!(ran.code, Some(3));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..8],
        [
            "sent as TLS to github.com at port 443",
            "  \u{2713} internet access  on",
            "  \u{2713} authority        the name github.com",
            "  \u{2713} denylist         no entry covers the host",
            "  \u{2713} allowlist        common-dependencies:github.com",
            "  \u{2713} port             443 (allowed: 80, 443)",
            "  \u{2717} method           methods are restricted, and this connection is not inspected",
            "deny: tunnel-not-inspected by common-dependencies:github.com",
        ]
    );
    assert!(ran.stderr.contains("no reason; the audit record has it"), "{}", ran.stderr);
    let ran = explain(&["TLS", "192.0.2.7:443"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.contains("the ClientHello names no host"), "{}", ran.stdout);
    let ran = explain(&["TLS", "any.example"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    assert!(ran.stdout.contains("TLS passthrough, and nothing inside is restricted"), "{}", ran.stdout);
    // Not even where Envoy would inspect tunnels.
    let inspected = POLICY.replacen('{', r#"{"tls": "inspected", "#, 1);
    assert_eq!(of(&inspected, &["TLS", "github.com:443"])["reason"], "tunnel-not-inspected");
}

#[test]
fn a_mistake_is_2_and_says_what_to_write() {
    for (arguments, says) in [
        (&["GET", "github.com"][..], "write http://github.com or https://github.com"),
        (&["GET", "ftp://github.com/"], "write http, https, ws or wss"),
        (&["CONNECT", "https://github.com/"], "write github.com:443"),
        (&["GET", "tls://github.com:443"], "write TLS github.com:443"),
        (&["TLS", "github.com:https"], "write TLS host:443"),
        (&["TLS", "github.com:443", "--body"], "leave --header and --body out"),
        (&["GET", "http://github.com/", "--header", "x"], "write 'name: value'"),
        (&["GET", "http://github.com/", "--header", "host: a.example"], "host follows from METHOD and URL"),
    ] {
        let ran = explain(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    let ran = run(&["explain", "--policy", "-", "GET", "http://a.example/"], "{\"method\": \"all\"}");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with("<stdin>:1:2: policy: method: unknown field"), "{}", ran.stderr);
    let folder = Folder::new();
    let missing = folder.0.join("missing").display().to_string();
    assert_eq!(run(&["explain", "--policy", &missing, "GET", "http://a.example/"], "").code, Some(2));
}

#[test]
fn json_has_stable_fields() {
    let object = explain(&["--json", "GET", "https://gist.github.com/x"]).json();
    let fields: Vec<&String> = object.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "decision",
            "header",
            "host",
            "method",
            "place",
            "policy",
            "problem",
            "proxy_error",
            "reason",
            "rule",
            "sent_as",
            "status",
            "step",
            "steps"
        ]
    );
    assert_eq!(object["decision"], "deny");
    assert_eq!(object["reason"], "domain-denied");
    assert_eq!(object["step"], "denylist");
    assert_eq!(object["rule"], "denylist:gist.github.com");
    assert_eq!(object["place"], "denylist[0]");
    assert_eq!(object["host"], "gist.github.com");
    assert_eq!(object["method"], "CONNECT");
    assert_eq!(object["policy"], "ci");
    assert_eq!(object["status"], 403);
    assert_eq!(object["proxy_error"], "blocked-by-denylist");
    assert_eq!(
        object["header"],
        "deny; reason=domain-denied; host=\"gist.github.com\"; method=CONNECT; rule=\"denylist:gist.github.com\""
    );
    assert_eq!(object["problem"]["reason"], "domain-denied");
    assert_eq!(object["sent_as"], json!(["CONNECT gist.github.com:443"]));
    assert_eq!(object["steps"].as_array().unwrap().len(), 3);

    let object = explain(&["--json", "GET", "http://github.com/"]).json();
    assert_eq!(object["decision"], "allow");
    for field in ["reason", "step", "status", "proxy_error", "problem"] {
        assert_eq!(object[field], Value::Null, "{field}");
    }
}

#[test]
fn inspected_tls_is_decided_twice() {
    let policy = r#"{"internet_access": "on", "tls": "inspected", "methods": "read-only",
        "allowlist": {"domains": ["a.example", "192.0.2.7"]}}"#;
    let allowed = of(policy, &["GET", "https://a.example/x"]);
    assert_eq!(allowed["decision"], "allow");
    assert_eq!(allowed["sent_as"], json!(["CONNECT a.example:443", "GET /x to a.example inside TLS for a.example"]));
    let inside = of(policy, &["POST", "https://a.example/x"]);
    assert_eq!((&inside["reason"], &inside["method"]), (&"method-not-allowed".into(), &"POST".into()));
    let tunnel = of(policy, &["GET", "https://b.example/x"]);
    assert_eq!((&tunnel["reason"], &tunnel["method"]), (&"domain-not-allowed".into(), &"CONNECT".into()));
    // A ClientHello names no address, and need not.
    let address = of(policy, &["GET", "https://192.0.2.7/"]);
    assert_eq!(
        (&address["decision"], &address["sent_as"][1]),
        (&"allow".into(), &"GET / to 192.0.2.7 inside TLS for no name".into())
    );
}

#[test]
fn git_fetch_is_told_by_its_content_type() {
    let policy = r#"{"internet_access": "on", "methods": "read-only", "allow": ["git-fetch"], "allowlist": {"domains": ["a.example"]}}"#;
    let url = "http://a.example/r.git/git-upload-pack";
    let header = "content-type: application/x-git-upload-pack-request";
    assert_eq!(of(policy, &["POST", url, "-H", header])["decision"], "allow");
    assert_eq!(of(policy, &["POST", url])["reason"], "method-not-allowed");
}

#[test]
fn what_is_only_audited_goes_on() {
    let policy = r#"{"internet_access": "on", "mode": "audit", "allowlist": {"domains": ["a.example"]}}"#;
    let ran = run(&["explain", "--policy", "-", "GET", "http://b.example/"], policy);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("would-deny: domain-not-allowed") && ran.stdout.contains("goes on"), "{}", ran.stdout);
    let object = of(policy, &["GET", "http://b.example/"]);
    assert_eq!((&object["decision"], &object["status"]), (&"would-deny".into(), &Value::Null));
    assert_eq!(object["reason"], "domain-not-allowed");
}

#[test]
fn a_reader_that_has_gone_is_no_crash() {
    use std::process::Stdio;
    let mut child = super::weir()
        .args(["explain", "--policy", "-", "GET", "http://a.example/"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(3), ""));
}
