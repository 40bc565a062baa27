//! How the policy reaches the plugin, and what happens to an invalid one.
#![expect(clippy::unwrap_used, reason = "clippy takes only the test functions themselves for tests")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_cases::RefusedPolicy;
use weir_envoy::{Binary, Configuration, Error};
use weir_policy::Policy;
use weir_tests::cases::{Way, parallel, send};
use weir_tests::proxy::{launch, ok, plugin_file, resource_without};
use weir_tests::{Failures, Outcome, Proxy, connect, http1};

const OPEN: &[u8] = br#"{"internet_access": "on", "allowlist": {"preset": "all"}, "name": "setup"}"#;
const AGENT: &[u8] = br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}, "name": "agent"}"#;
const STATIC_LIMIT: Duration = Duration::from_mins(1);

fn get(connection: &mut http1::Connection, host: &str) -> Outcome {
    connection.exchange(b"GET", format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())
}

fn is_off(proxy: &Proxy, failures: &Failures, id: &str) {
    // Several connections: each worker has its own copy of the policy.
    for _ in 0..8 {
        for host in ["example.com", "github.com", "10.0.0.1", "localhost", "a@b"] {
            let outcome = get(&mut proxy.http1(), host);
            let reason = outcome.answer().and_then(|answer| answer.reason());
            failures.check(id, reason == Some("access-off"), format_args!("{host}: {outcome}"));
        }
        let outcome = connect::open(&mut proxy.http1(), b"github.com:443", b"");
        let reason = outcome.answer().and_then(|answer| answer.reason());
        failures.check(id, reason == Some("access-off"), format_args!("CONNECT: {outcome}"));
    }
    failures.same(id, "requests at the stand-in", &0, &proxy.internet.take_received().len());
}

#[test]
fn without_a_policy_access_is_off() {
    let failures = Failures::default();
    let nothing = [
        ("absent", Configuration::Absent),
        ("empty Any", Configuration::EmptyAny),
        ("empty string", Configuration::Text(Vec::new())),
        ("{} as text", Configuration::Text(b"{}".to_vec())),
        ("{} as Struct", Configuration::Struct(b"{}".to_vec())),
    ];
    // From the start, in a fresh Envoy.
    parallel(&nothing, |(id, configuration)| {
        is_off(&Proxy::with(launch().configuration(configuration.clone())), &failures, id);
    });
    // And as the replacement of a policy that allowed something.
    let mut proxy = Proxy::start(OPEN);
    for (id, configuration) in nothing {
        proxy.set_policy(OPEN);
        failures.check(
            id,
            get(&mut proxy.http1(), "example.com").status() == Some(200),
            "the open policy is not in force",
        );
        proxy.internet.take_received();
        ok(proxy.envoy.set_configuration(&configuration));
        is_off(&proxy, &failures, &format!("{id}, after another policy"));
    }
}

#[test]
fn a_struct_is_the_same_policy_as_text() {
    let failures = Failures::default();
    let mut proxy = Proxy::start(b"{}");
    let mut compared = 0;
    // The groups with numbers, nested objects and arrays: Envoy parses a Struct and serialises it again.
    for group in weir_cases::decisions() {
        if !["ports-listed", "rule-address", "methods-listed", "denylist-order", "specific", "audit"]
            .contains(&&*group.id)
        {
            continue;
        }
        let document = group.document();
        let cases: Vec<_> = group
            .cases
            .iter()
            .filter(|case| case.request.tls.is_none() && Way::Http1.takes(case.request.method()))
            .filter(|case| !case.not_over.contains_key("http1"))
            .collect();
        let mut run = |configuration: Configuration| {
            if let Err(error) = proxy.envoy.set_configuration(&configuration) {
                panic!("{}: {error}", group.id);
            }
            parallel(&cases, |case| {
                let outcome = send(&proxy, Way::Http1, &case.request, &case.id).outcome;
                outcome.answer().map(|answer| (answer.status, answer.header("x-weir-decision").map(str::to_owned)))
            })
        };
        let text = run(Configuration::Text(document.clone()));
        let structure = run(Configuration::Struct(document.clone()));
        compared += cases.len();
        for ((case, text), structure) in cases.iter().zip(text).zip(structure) {
            failures.same(&format!("{}/{}", group.id, case.id), "by Struct", &text, &structure);
        }
    }
    eprintln!("compared {compared} requests by text and by Struct");
    assert!(compared > 50, "{compared}");
}

/// Notes every expected mistake that `lines` do not report, and the lines that must not be there.
fn check_told(failures: &Failures, case: &RefusedPolicy, way: &str, lines: &[String]) {
    let id = format!("{} ({way})", case.id);
    let all = lines.join("\n");
    for mistake in &case.mistakes {
        // Native tests compare the place; here it must only be in the log.
        let told = lines.iter().any(|line| mistake.is(mistake.place.as_deref().unwrap_or_default(), line))
            && mistake.place.as_deref().is_none_or(|place| all.contains(place));
        failures.check(&id, told, format_args!("not reported: {mistake:?} in {all:?}"));
    }
    for line in lines {
        let bad = case.lacks.iter().find(|lacks| line.contains(*lacks));
        failures.check(&id, bad.is_none(), format_args!("{bad:?} in {line:?}"));
        failures.check(&id, line.starts_with("policy: "), format_args!("not the plugin's prefix: {line:?}"));
    }
    // Word for word what the parser says, so that the log truncates nothing.
    let Err(mistakes) = Policy::from_json(&case.document) else {
        return failures.add(&id, "natively accepted");
    };
    for mistake in &mistakes {
        failures.check(&id, lines.contains(&mistake.to_string()), format_args!("not in the log: {mistake}"));
    }
    failures.check(&id, case.at_least || lines.len() == case.mistakes.len(), format_args!("told: {all:?}"));
}

#[test]
fn a_running_envoy_keeps_its_policy() {
    let failures = Failures::default();
    let mut proxy = Proxy::start(AGENT);
    let mut kept_alive = proxy.http1();
    let cases = weir_cases::refused_policies();
    let passes = |connection: &mut http1::Connection, host: &str| get(connection, host).status() == Some(200);
    for case in &cases {
        failures.check(&case.id, passes(&mut proxy.http1(), "example.com"), "the policy before does not hold");
        let lines = match proxy.envoy.set_configuration(&configuration(&case.document)) {
            Err(Error::PolicyRefused(lines)) => lines,
            Err(other) => panic!("{}: {other}", case.id),
            Ok(()) => {
                failures.add(&case.id, "was accepted");
                proxy.set_policy(AGENT);
                continue;
            }
        };
        check_told(&failures, case, "running", &lines);
        failures.check(&case.id, passes(&mut proxy.http1(), "example.com"), "the policy was not kept: allows no more");
        failures.check(
            &case.id,
            passes(&mut kept_alive, "example.com"),
            "the policy was not kept on an open connection",
        );
        failures.check(
            &case.id,
            !passes(&mut proxy.http1(), "evil.example"),
            "the policy was not kept: refuses no more",
        );
    }
    failures.same("afterwards", "signs of a trap", &Vec::new(), &proxy.signs_of_a_trap());
    eprintln!("{} policies refused by a running Envoy", cases.len());
}

/// A protobuf string cannot hold bytes that are not UTF-8.
fn configuration(document: &[u8]) -> Configuration {
    match str::from_utf8(document) {
        Ok(_) => Configuration::Text(document.to_vec()),
        Err(_) => Configuration::Bytes(document.to_vec()),
    }
}

/// Starts Envoy with the plugin inline in its chain; returns its exit status and its output.
fn start_fresh(document: &[u8], folder: &Path) -> (Option<i32>, String) {
    let binary = ok(Binary::find());
    let launch = launch().binary(binary.clone()).configuration(configuration(document)).static_filter();
    // The plugin is beside the filter's file.
    std::fs::copy(plugin_file(), folder.join("weir.wasm")).unwrap();
    let config = ok(launch.envoy_config(&folder.join("filter.json")));
    let file = folder.join("envoy.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut child = Command::new(binary.path())
        .arg("--config-path")
        .arg(&file)
        .args(["--concurrency", "1", "--disable-hot-restart", "--log-format", "%l\u{1f}%n\u{1f}%v"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let end = Instant::now() + STATIC_LIMIT;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if Instant::now() > end => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    (status, String::from_utf8_lossy(&std::fs::read(folder.join("log")).unwrap()).into_owned())
}

/// Each case takes half a second of processor time, nearly all for V8 to compile the plugin (`--mode validate` creates
/// the plugin too, and takes as long), so only every third runs by default.
#[test]
fn a_fresh_envoy_refuses_to_start() {
    let failures = Failures::default();
    let all = std::env::var_os("WEIR_ALL").is_some_and(|value| value != "0");
    let cases = weir_cases::refused_policies();
    let chosen: Vec<_> = cases.iter().step_by(if all { 1 } else { 3 }).collect();
    eprintln!(
        "fresh starts with a refused policy: {} of {}{}",
        chosen.len(),
        cases.len(),
        if all { "" } else { " (every third; WEIR_ALL=1 runs all)" }
    );
    parallel(&chosen, |case| {
        let folder = tempfile::tempdir().unwrap();
        let (status, log) = start_fresh(&case.document, folder.path());
        failures.check(&case.id, status.is_some_and(|status| status != 0), format_args!("exit status {status:?}"));
        let prefix = "error\u{1f}wasm\u{1f}wasm log weir weir: ";
        let lines: Vec<String> = log.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect();
        check_told(&failures, case, "fresh", &lines);
    });
    // The same configuration starts with a valid policy, so the mistakes are what stops the others.
    let right = ok(launch().policy(AGENT).static_filter().start());
    assert!(!right.plugin_lines().iter().any(|line| line.starts_with("policy: ")));
}

#[test]
fn connections_opened_during_setup_do_not_outlive_it() {
    const LIFETIME: Duration = Duration::from_secs(2);
    let mut proxy = Proxy::with(launch().policy(OPEN).tunnel_lifetime(LIFETIME));
    let mut kept_alive = proxy.http1();
    let mut other = proxy.http2();
    assert_eq!(get(&mut kept_alive, "anything.example.net").status(), Some(200));
    let ask = |connection: &mut weir_tests::http2::Connection| {
        let path: &[u8] = b"/";
        connection.exchange(&[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", path),
            (b":authority", b"anything.example.net"),
        ])
    };
    assert_eq!(ask(&mut other).status(), Some(200));
    let mut tunnel = proxy.http1();
    let opened = Instant::now();
    assert_eq!(connect::open(&mut tunnel, b"anything.example.net:443", b"").status(), Some(200));

    proxy.set_policy(AGENT);
    proxy.internet.take_received();
    let refused = get(&mut kept_alive, "anything.example.net").expect_answer();
    assert_eq!(refused.reason(), Some("domain-not-allowed"));
    assert!(refused.text().contains(r#""policy":"agent""#), "{}", refused.text());
    assert_eq!(ask(&mut other).expect_answer().reason(), Some("domain-not-allowed"));
    assert_eq!(get(&mut kept_alive, "example.com").status(), Some(200), "the agent's own domain, same connection");
    let again = connect::open(&mut proxy.http1(), b"anything.example.net:443", b"").expect_answer();
    assert_eq!(again.reason(), Some("domain-not-allowed"), "no new tunnel");

    // The earlier tunnel is still open, and Envoy closes it in time.
    assert!(tunnel.drain().is_ok(), "the tunnel must be closed, not time out");
    let lived = opened.elapsed();
    assert!(lived + Duration::from_millis(200) >= LIFETIME && lived < LIFETIME + Duration::from_secs(5), "{lived:?}");

    // The shipped file has half an hour in the same place.
    let shipped = ok(launch().envoy_config(Path::new("/unused")));
    let routes = shipped
        .pointer(
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes",
        )
        .and_then(Value::as_array)
        .unwrap();
    let tunnel = routes.iter().find(|route| route["name"] == "tunnel").unwrap();
    assert_eq!(tunnel["route"]["max_stream_duration"]["max_stream_duration"], "1800s");
}

#[test]
fn a_tunnel_that_cannot_be_announced_is_not_opened() {
    let policy =
        |more: &str| format!(r#"{{"internet_access": "on", "allowlist": {{"domains": ["example.com"]}}{more}}}"#);
    let error = |outcome: &Outcome| outcome.answer().and_then(|it| it.header("x-proxy-error")).map(str::to_owned);

    for (more, reason, proxy_error) in [
        (r#", "tls": "inspected", "methods": "read-only""#, Some("tunnel-not-inspected"), "blocked-by-mitm-required"),
        // The plugin lets these pass, but Envoy's own filter refuses them.
        (r#", "tls": "inspected", "mode": "audit""#, None, "blocked-by-policy"),
        ("", None, "blocked-by-policy"),
    ] {
        let proxy = Proxy::with(launch().resource(resource_without("proxy_set_property", policy(more).as_bytes())));
        for _ in 0..4 {
            let outcome = connect::open(&mut proxy.http1(), b"example.com:443", b"");
            assert_eq!(outcome.status(), Some(403), "{more}: {outcome}");
            assert_eq!(outcome.answer().unwrap().reason(), reason, "{more}: {outcome}");
            assert_eq!(error(&outcome).as_deref(), Some(proxy_error), "{more}: {outcome}");
            let fields = [(":method", "CONNECT"), (":authority", "example.com:443")];
            let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let (opened, inside) = connect::over_http2(&mut proxy.http2(), &fields, b"");
            assert_eq!((opened.status(), inside.is_none()), (Some(403), true), "{more}: {opened}");
        }
        assert_eq!(get(&mut proxy.http1(), "example.com").status(), Some(200), "what is no tunnel goes on");
        assert_eq!(proxy.internet.take_received().len(), 1, "{more}");
        assert_eq!(proxy.signs_of_a_trap(), Vec::<String>::new());
    }
}

/// The same with every capability: the answer's text distinguishes the two refusals.
#[test]
fn a_tunnel_opens_where_the_plugin_announces_passthrough() {
    let policy = |tls: &str| {
        format!(
            r#"{{"internet_access": "on", "ports": "any", "allowlist": {{"domains": ["example.com"]}}, "tls": "{tls}"}}"#
        )
    };
    let mut proxy = Proxy::start(policy("passthrough").as_bytes());
    assert_eq!(connect::open(&mut proxy.http1(), b"example.com:443", b"").status(), Some(200));
    proxy.set_policy(policy("inspected").as_bytes());
    let outcome = connect::open(&mut proxy.http1(), b"example.com:443", b"");
    let answer = outcome.answer().unwrap();
    assert_eq!((answer.status, answer.header("x-proxy-error")), (403, Some("blocked-by-mitm-required")));
    assert!(String::from_utf8_lossy(&answer.body).contains("does not inspect TLS"), "{outcome}");
}
