//! What an attacker could send to get past the proxy, by a raw socket: every case of `tests/data/attacks.json`.
//!
//! The answers and what reaches the stand-in must match the table. In any case nothing that the policy refuses may
//! reach it, and Envoy and the plugin must survive.

use weir_policy::{Policy, Request};
use weir_tests::cases::parallel_by;
use weir_tests::{Failures, Outcome, Proxy, http1};

const POLICY: &[u8] =
    br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}, "methods": "read-only"}"#;

#[test]
fn attacks() {
    let failures = Failures::default();
    let policy = Policy::from_json(POLICY).unwrap();
    let proxy = Proxy::start(POLICY);
    let attacks = weir_cases::attacks();
    let answers = parallel_by(24, &attacks, |attack| http1::all_answers(proxy.envoy.address(), &attack.bytes()));
    let mut received = proxy.internet.take_received();

    for (attack, answers) in attacks.iter().zip(answers) {
        let answers: Vec<String> = answers.iter().map(told).collect();
        failures.same(&attack.id, "answers", &attack.answers, &answers);
        for expected in &attack.reaches {
            let arrived = received.iter().position(|it| format!("{} {} {}", it.method, it.host, it.path) == *expected);
            match arrived {
                Some(at) => _ = received.remove(at),
                None => failures.add(&attack.id, format_args!("did not reach the stand-in: {expected}")),
            }
        }
    }
    for request in received {
        failures.add("the stand-in", format_args!("received {request:?}"));
        let (method, authority, path) = (request.method.as_bytes(), request.host.as_bytes(), request.path.as_bytes());
        let decision = policy.decide(&Request { method, authority, path, ..Request::default() });
        failures.check("the stand-in", decision.is_allowed(), format_args!("which the policy refuses: {decision:?}"));
    }
    failures.same("afterwards", "signs of a trap", &Vec::new(), &proxy.signs_of_a_trap());
    let alive = proxy.http1().exchange(b"GET", b"GET /alive HTTP/1.1\r\nhost: example.com\r\n\r\n");
    failures.same("afterwards", "status", &Some(200), &alive.status());
    let refused = proxy.http1().exchange(b"GET", b"GET /alive HTTP/1.1\r\nhost: evil.example\r\n\r\n");
    failures.same("afterwards", "refused", &Some("domain-not-allowed"), &refused.answer().and_then(|it| it.reason()));
    eprintln!("{} attacks", attacks.len());
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(answer) => match answer.reason() {
            Some(reason) => format!("{} {reason}", answer.status),
            None => answer.status.to_string(),
        },
        Outcome::Silent => "silence".to_owned(),
        other => other.to_string(),
    }
}
