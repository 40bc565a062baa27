//! Every case of `tests/data/decisions.json` and `authorities.json` through real Envoy, over HTTP/1.1, HTTP/2 and
//! CONNECT.
//!
//! Allowed means that the stand-in received the request, under its Host, and answered through Envoy; refused means the
//! complete refusal, and that the stand-in received nothing. The tests also send what Envoy refuses itself
//! (`not_over`): it must still do so, and the stand-in must receive nothing that the policy refuses.
#![expect(clippy::panic, reason = "clippy takes only the test functions themselves for tests")]

use std::collections::BTreeMap;

use serde_json::json;
use weir_cases::{AuthorityExpectation, DecisionCase, ExpectedRule, RequestCase};
use weir_internet::Received;
use weir_policy::{Detail, Mode, Policy, Reason, Tls};
use weir_tests::cases::{Sent, Way, parallel, received, send};
use weir_tests::{Failures, Outcome, Proxy, refusal};

/// How Envoy rewrites a path before the plugin sees it, because `forward-proxy.yaml` sets `normalize_path`, which the
/// tables do not assume. The decision is then on the path that the origin receives, and the policy must allow that one.
const NORMALISED: [(&str, Own); 9] = [
    ("path-double-slash-dot-dot", Own::Path("/v1/v2")),
    ("path-backslash", Own::Path("/v1/v2")),
    ("path-backslash-below", Own::Path("/v1/a/b")),
    ("path-non-ascii", Own::Path("/v1/%C3%A9")),
    ("git-post-parameter", Own::Path("/org/repo.git/git-upload-pack")),
    ("git-post-backslash", Own::Path("/org/repo.git//git-upload-pack")),
    ("path-encoded-nul", Own::Status(400)),
    ("path-encoded-nul-dot-dot", Own::Status(400)),
    ("git-post-encoded-nul", Own::Status(400)),
];

/// What Envoy itself does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// It answers with this status.
    Status(u16),
    /// It closes the connection or resets the stream.
    Closes,
    /// It forwards another path.
    Path(&'static str),
    /// It forwards something other than the client sent; the table says what.
    Shows,
    /// The table has nothing to check.
    Something,
}

impl Own {
    /// Parses an entry of `not_over`.
    fn read(why: &str) -> Own {
        let status = why.strip_prefix("Envoy answers ").and_then(|status| status.parse().ok());
        match (why, status) {
            (_, Some(status)) => Own::Status(status),
            ("Envoy closes", _) => Own::Closes,
            _ if why.starts_with("Envoy shows ") => Own::Shows,
            _ => Own::Something,
        }
    }
}

/// A request, its way, and its expected outcome.
struct Job<'c> {
    id: String,
    way: Way,
    request: &'c RequestCase,
    expect: &'c str,
    rule: &'c ExpectedRule,
    /// Why this way cannot express it; the test then only checks that no harm is done.
    not_over: Option<&'c String>,
    /// What Envoy does instead.
    own: Option<Own>,
}

/// Sends all jobs and checks their outcomes. Adds to `ran` how many went each way, and to `counts` what the plugin must
/// have counted.
fn run(
    proxy: &Proxy,
    policy: &Policy,
    jobs: &[Job<'_>],
    failures: &Failures,
    ran: &mut BTreeMap<&'static str, u32>,
    counts: &mut BTreeMap<String, u64>,
) {
    let sent = parallel(jobs, |job| send(proxy, job.way, job.request, &job.id));
    let mut arrived = received(proxy);
    for (job, sent) in jobs.iter().zip(sent) {
        let arrived = arrived.remove(&job.id).unwrap_or_default();
        let before = failures.count();
        let passes = job.expect == "allow" || policy.mode() == Mode::Audit;
        if let Some(own) = job.own {
            *ran.entry("Envoy's own").or_default() += 1;
            check_own(failures, job, own, policy, &sent.outcome, &arrived);
            tell(failures, before, job, &sent.outcome);
            continue;
        }
        *ran.entry(job.way.name()).or_default() += 1;
        let tunnel = policy.tunnel(&job.request.to_request());
        if passes && tunnel.is_some_and(|tunnel| tunnel.tls == Tls::Inspected) {
            check_not_inspected(failures, job, &sent, &arrived);
        } else if passes {
            check_passed(failures, job, &sent, &arrived);
        } else {
            check_refused(failures, job, policy, &sent, &arrived);
        }
        let counter = match (job.expect, policy.mode()) {
            ("allow", _) => "weir.allowed".to_owned(),
            (reason, Mode::Audit) => format!("weir.would_deny.{reason}"),
            (reason, Mode::Enforce) => format!("weir.denied.{reason}"),
        };
        *counts.entry(counter).or_default() += 1;
        tell(failures, before, job, &sent.outcome);
    }
    for request in arrived.into_values().flatten() {
        // A line break in Host may end the head before the request's name: then it must be one of these, which are
        // harmless.
        let told =
            jobs.iter().any(|job| job.not_over.is_some_and(|why| why.contains(&format!("\"{}\"", request.host))));
        failures.check(
            "afterwards",
            told,
            format_args!("the stand-in received a request that no test sent: {request:?}"),
        );
    }
}

/// Adds the request and its outcome to its failures.
fn tell(failures: &Failures, before: usize, job: &Job<'_>, outcome: &Outcome) {
    if failures.count() > before {
        let request = job.request;
        let authority = request.authority().map(|it| it.escape_ascii().to_string());
        let path = request.path().map(|it| it.escape_ascii().to_string());
        let method = request.method().escape_ascii();
        failures.add(&job.id, format_args!("  was {method} {authority:?} {path:?}, got {outcome}"));
    }
}

fn check_passed(failures: &Failures, job: &Job<'_>, sent: &Sent, arrived: &[Received]) {
    let id = &job.id;
    let Some(answer) = sent.outcome.answer() else {
        return failures.add(id, format_args!("must pass, but: {}", sent.outcome));
    };
    failures.check(id, !answer.has("x-weir-decision"), "an answer that passed has x-weir-decision");
    let [arrived] = arrived else {
        return failures.add(id, format_args!("the stand-in received {} requests, {}", arrived.len(), sent.outcome));
    };
    let host = if job.request.method() == b"CONNECT" {
        failures.same(id, "status inside the tunnel", &Some(Some(200)), &sent.inside.as_ref().map(Outcome::status));
        "inside.example".to_owned()
    } else if job.request.upgrade.is_some() {
        failures.check(id, matches!(answer.status, 101 | 200), format_args!("status {}", answer.status));
        failures.same(id, "bytes came back through the upgrade", &Some(true), &sent.echoed);
        String::from_utf8_lossy(job.request.authority().unwrap_or_default()).into_owned()
    } else {
        failures.same(id, "status", &200, &answer.status);
        String::from_utf8_lossy(job.request.authority().unwrap_or_default()).into_owned()
    };
    failures.same(id, "Host at the stand-in", &host, &arrived.host);
    if job.request.method() != b"CONNECT" {
        failures.same(
            id,
            "method at the stand-in",
            &&*String::from_utf8_lossy(job.request.method()),
            &&*arrived.method,
        );
    }
}

/// The plugin lets the tunnel pass, for a proxy that inspects it; this proxy does not inspect, so it must not open it.
fn check_not_inspected(failures: &Failures, job: &Job<'_>, sent: &Sent, arrived: &[Received]) {
    let id = &job.id;
    failures.check(id, arrived.is_empty(), format_args!("reached the stand-in: {arrived:?}"));
    let Some(answer) = sent.outcome.answer() else {
        return failures.add(id, format_args!("must be answered, but: {}", sent.outcome));
    };
    failures.same(id, "status", &403, &answer.status);
    failures.same(id, "x-proxy-error", &Some("blocked-by-mitm-required"), &answer.header("x-proxy-error"));
    failures.check(id, !answer.has("x-weir-decision"), "the plugin refused what it should leave to the proxy");
}

fn check_refused(failures: &Failures, job: &Job<'_>, policy: &Policy, sent: &Sent, arrived: &[Received]) {
    let id = &job.id;
    failures.check(id, arrived.is_empty(), format_args!("reached the stand-in: {arrived:?}"));
    let Some(answer) = sent.outcome.answer() else {
        return failures.add(id, format_args!("must be refused for {}, but: {}", job.expect, sent.outcome));
    };
    refusal::check(failures, id, answer, job.expect, policy, &job.request.to_request());
    if policy.audit().detail == Detail::Full {
        let decision = answer.header("x-weir-decision").and_then(refusal::DecisionHeader::parse).unwrap_or_default();
        failures.check(
            id,
            job.rule.is(decision.get("rule")),
            format_args!("rule: expected {:?}, found {:?}", job.rule, decision.get("rule")),
        );
    }
}

/// The tables say how Envoy itself refuses a request. If Envoy stops refusing it, the case can run this way.
fn check_own(failures: &Failures, job: &Job<'_>, own: Own, policy: &Policy, outcome: &Outcome, arrived: &[Received]) {
    let id = &job.id;
    let as_told = match own {
        Own::Status(status) => {
            outcome.status() == Some(status) && outcome.answer().is_some_and(|answer| !answer.has("x-weir-decision"))
        }
        Own::Closes => matches!(outcome, Outcome::Closed | Outcome::Reset(_) | Outcome::GoAway(_)),
        Own::Path(path) => arrived.len() == 1 && arrived.iter().all(|request| request.path == path),
        Own::Shows | Own::Something => true,
    };
    failures.check(id, as_told, format_args!("Envoy should do this itself: {own:?} {:?}", job.not_over));
    for arrived in arrived {
        // Whatever Envoy changed, the policy must allow what reached the origin, because the plugin saw the same.
        let mut request = job.request.to_request();
        request.method = arrived.method.as_bytes();
        request.path = arrived.path.as_bytes();
        if job.request.method() == b"CONNECT" {
            let shown = job.not_over.and_then(|why| why.split('"').nth(1)).unwrap_or_default();
            (request.method, request.authority, request.path) = (b"CONNECT", shown.as_bytes(), b"");
        } else {
            request.authority = arrived.host.as_bytes();
        }
        let decision = policy.decide(&request);
        failures.check(
            id,
            decision.is_allowed(),
            format_args!("reached the stand-in, refused by {decision:?}: {arrived:?}"),
        );
    }
}

/// The next request must be answered: refused by the plugin, or passed if the policy only audits.
fn check_alive(failures: &Failures, proxy: &Proxy, id: &str, policy: &Policy, tls: bool) {
    let mut connection = if tls { proxy.http1_tls("example.com") } else { proxy.http1() };
    let outcome = connection.exchange(b"GET", b"GET / HTTP/1.1\r\nhost: a..b\r\n\r\n");
    let refused = outcome.answer().map(|answer| answer.reason().is_some());
    failures.same(id, "refused afterwards", &Some(policy.mode() == Mode::Enforce), &refused);
    proxy.internet.take_received();
}

fn jobs<'c>(group: &str, case: &'c DecisionCase, tls: bool) -> Vec<Job<'c>> {
    let sendable =
        case.request.tls.as_ref().is_none_or(|name| str::from_utf8(name).is_ok_and(|name| !name.contains('\0')));
    if case.request.tls.is_some() != tls || !sendable {
        return Vec::new();
    }
    Way::ALL
        .into_iter()
        .filter(|way| way.takes(case.request.method()))
        .map(|way| Job {
            id: format!("{group}/{}/{}", case.id, way.name()),
            way,
            request: &case.request,
            expect: &case.expect,
            rule: &case.rule,
            not_over: case.not_over.get(way.name()),
            own: own(case, way),
        })
        .collect()
}

fn own(case: &DecisionCase, way: Way) -> Option<Own> {
    let told = case.not_over.get(way.name()).map(|why| Own::read(why));
    told.or_else(|| NORMALISED.iter().find(|(id, _)| *id == case.id).map(|(_, own)| *own))
}

/// Runs the cases with TLS to the proxy, or those without.
fn decisions(mut proxy: Proxy, tls: bool) -> BTreeMap<&'static str, u32> {
    let failures = Failures::default();
    let mut ran = BTreeMap::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let before = proxy.counters();
    let vms = proxy.stat("wasm.envoy.wasm.runtime.v8.active");
    for group in weir_cases::decisions() {
        let jobs: Vec<Job<'_>> = group.cases.iter().flat_map(|case| jobs(&group.id, case, tls)).collect();
        if jobs.is_empty() {
            continue;
        }
        let document = group.document();
        let policy = Policy::from_json(&document).unwrap_or_else(|error| panic!("{}: {error}", group.id));
        proxy.set_policy(&document);
        // Requests that Envoy refuses or changes itself run separately: the plugin's counts for them are unknown.
        let (own, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.own.is_some());
        // The check is exact only if the policy denies nothing, since the answers show refusals otherwise; counts for
        // what Envoy refused itself in an earlier group may still arrive.
        let started = (policy.mode() == Mode::Audit).then(|| proxy.settled_counters());
        let mut group_counts = BTreeMap::new();
        run(&proxy, &policy, &jobs, &failures, &mut ran, &mut group_counts);
        if let Some(Err(error)) = started.map(|started| proxy.counters_grew(&started, &group_counts)) {
            failures.add(&group.id, error);
        }
        for (counter, growth) in group_counts {
            *counts.entry(counter).or_default() += growth;
        }
        run(&proxy, &policy, &own, &failures, &mut ran, &mut BTreeMap::new());
        check_alive(&failures, &proxy, &group.id, &policy, tls);
    }
    failures.same("afterwards", "VMs", &vms, &proxy.stat("wasm.envoy.wasm.runtime.v8.active"));
    failures.same("afterwards", "signs of a trap", &Vec::new(), &proxy.signs_of_a_trap());
    let reached = proxy.wait_for(|proxy| {
        let now = proxy.counters();
        counts.iter().all(|(name, growth)| {
            now.get(name).copied().unwrap_or_default() >= before.get(name).copied().unwrap_or_default() + growth
        })
    });
    failures.check("counters", reached, format_args!("expected at least {counts:?}, found {:?}", proxy.counters()));
    eprintln!("decisions{}: {ran:?}", if tls { " over TLS" } else { "" });
    ran
}

#[track_caller]
fn no_way_ran_none(ran: &BTreeMap<&str, u32>) {
    for way in Way::ALL {
        assert!(ran.get(way.name()).is_some_and(|count| *count > 0), "nothing ran over {}: {ran:?}", way.name());
    }
}

#[test]
fn decisions_without_tls() {
    no_way_ran_none(&decisions(Proxy::start(b"{}"), false));
}

#[test]
fn decisions_over_tls() {
    no_way_ran_none(&decisions(Proxy::start_tls(b"{}"), true));
}

#[test]
fn authorities() {
    const POLICY: &[u8] =
        br#"{"internet_access": "on", "allowlist": {"preset": "all"}, "ports": "any", "mode": "enforce"}"#;
    let policy = Policy::from_json(POLICY).unwrap();
    let proxy = Proxy::start(POLICY);
    let failures = Failures::default();
    let cases = weir_cases::authorities();
    let mut requests = Vec::new();
    for case in &cases {
        let digits: Vec<String> = case.input.iter().map(|byte| format!("{byte:02x}")).collect();
        let authority = json!({"hex": digits.concat()});
        for method in ["GET", "CONNECT"] {
            let request: RequestCase =
                serde_json::from_value(json!({"method": method, "authority": authority})).unwrap();
            // A tunnel needs a port, but other requests do not.
            let reason = policy.decide(&request.to_request()).reason().map(Reason::code);
            let tunnel_without_port =
                method == "CONNECT" && matches!(&case.expect, AuthorityExpectation::Valid { port: None, .. });
            let as_told = tunnel_without_port
                || match &case.expect {
                    AuthorityExpectation::Invalid(_) => reason == Some("authority-invalid"),
                    AuthorityExpectation::Valid { kind, .. } if kind == "numeric" => reason == Some("ip-literal"),
                    AuthorityExpectation::Valid { .. } => reason != Some("authority-invalid"),
                };
            failures.check(
                &case.id,
                as_told,
                format_args!("natively {reason:?}, but the table says {:?}", case.expect),
            );
            requests.push((case, request, reason.unwrap_or("allow")));
        }
    }
    let jobs: Vec<Job<'_>> = requests
        .iter()
        .flat_map(|(case, request, expect)| {
            let ways = Way::ALL.into_iter().filter(|way| way.takes(request.method()));
            ways.map(move |way| Job {
                id: format!("{}/{}/{}", case.id, String::from_utf8_lossy(request.method()), way.name()),
                way,
                request,
                expect,
                rule: &ExpectedRule::Any,
                not_over: case.not_over.get(way.name()),
                own: case.not_over.get(way.name()).map(|why| Own::read(why)),
            })
        })
        .collect();
    let (own, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.own.is_some());
    let mut ran = BTreeMap::new();
    let mut counts = BTreeMap::new();
    let before = proxy.counters();
    run(&proxy, &policy, &jobs, &failures, &mut ran, &mut counts);
    if let Err(error) = proxy.counters_grew(&before, &counts) {
        failures.add("counters", error);
    }
    run(&proxy, &policy, &own, &failures, &mut ran, &mut counts);
    eprintln!("authorities: {ran:?}");
    no_way_ran_none(&ran);
}
