//! Every case of `tests/data`, asked of the policy itself: natively, and on wasm32 under Node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use weir_cases::AuthorityExpectation;
use weir_policy::{Authority, Host, Policy, Reason};

#[cfg(not(target_arch = "wasm32"))]
use core::prelude::v1::test as case;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as case;

/// Collects what came out otherwise, so that one run shows all of it.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn check(&mut self, id: &str, reason: &str, expected: &str, found: &str) {
        if expected != found {
            self.0.push(format!("{id}: expected {expected}, found {found} ({reason})"));
        }
    }
}

impl Drop for Failures {
    fn drop(&mut self) {
        assert!(self.0.is_empty(), "{} cases failed:\n{}", self.0.len(), self.0.join("\n"));
    }
}

#[case]
fn authorities() {
    let mut failures = Failures::default();
    for case in weir_cases::authorities() {
        let expected = match &case.expect {
            AuthorityExpectation::Invalid(_) => "invalid".to_owned(),
            AuthorityExpectation::Valid { kind, host, port } => {
                let host = String::from_utf8_lossy(host);
                let host = host.parse::<IpAddr>().map_or(host.to_string(), |address| address.to_string());
                format!("{kind} {host} {port:?}")
            }
        };
        let found = match Authority::parse(&case.input) {
            Err(_) => "invalid".to_owned(),
            Ok(Authority { host, port }) => {
                let (kind, host) = match host {
                    Host::Name(name) => ("name", name.as_str().to_ascii_lowercase()),
                    Host::Address(address) => ("address", address.to_string()),
                    Host::Numeric(name) => ("numeric", name.as_str().to_ascii_lowercase()),
                };
                format!("{kind} {host} {port:?}")
            }
        };
        failures.check(&case.id, &case.reason, &expected, &found);
    }
}

#[case]
fn decisions() {
    let mut failures = Failures::default();
    let mut seen = BTreeSet::new();
    for group in weir_cases::decisions() {
        let policy = Policy::from_json(&group.document()).unwrap_or_else(|error| panic!("{}: {error}", group.id));
        for case in &group.cases {
            let request = case.request.to_request();
            let decision = policy.decide(&request);
            let found = decision.reason().map_or("allow", Reason::code);
            let id = format!("{}/{}", group.id, case.id);
            failures.check(&id, &case.reason, &case.expect, found);
            let rule = decision.entry().map(|entry| entry.to_string());
            if !case.rule.is(rule.as_deref()) {
                failures.check(&id, &case.reason, &format!("{:?}", case.rule), &format!("{rule:?}"));
            }
            seen.insert(found);
        }
    }
    for reason in Reason::ALL {
        failures.check(
            reason.code(),
            "every reason has a case",
            "seen",
            if seen.contains(reason.code()) { "seen" } else { "missing" },
        );
    }
}

#[case]
fn tls_that_nobody_opens() {
    let mut failures = Failures::default();
    for group in weir_cases::tls() {
        let document = group.policy.to_string();
        let policy = Policy::from_json(document.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", group.id));
        for case in &group.cases {
            let decision = policy.decide(&case.to_request());
            let id = format!("{}/{}", group.id, case.id);
            failures.check(&id, &case.reason, &case.expect, decision.reason().map_or("allow", Reason::code));
            let rule = decision.entry().map(|entry| entry.to_string());
            if !case.rule.is(rule.as_deref()) {
                failures.check(&id, &case.reason, &format!("{:?}", case.rule), &format!("{rule:?}"));
            }
            assert_eq!(policy.tunnel(&case.to_request()), None, "nobody opens a tunnel: {id}");
        }
    }
}

#[case]
fn refused_policies() {
    let mut failures = Failures::default();
    for case in weir_cases::refused_policies() {
        let Err(mistakes) = Policy::from_json(&case.document) else {
            failures.check(&case.id, &case.reason, "refused", "accepted");
            continue;
        };
        let found = mistakes.to_string();
        for expected in &case.mistakes {
            let is_there = mistakes.iter().any(|mistake| expected.is(&mistake.place, &mistake.to_string()));
            if !is_there {
                failures.check(&case.id, &case.reason, &format!("{expected:?}"), &found);
            }
        }
        for lack in &case.lacks {
            if mistakes.iter().any(|mistake| mistake.to_string().contains(lack)) {
                failures.check(&case.id, &case.reason, &format!("no {lack:?}"), &found);
            }
        }
        let count = mistakes.iter().count();
        if count < case.mistakes.len() || count > case.mistakes.len() && !case.at_least {
            failures.check(&case.id, &case.reason, &format!("{} mistakes", case.mistakes.len()), &found);
        }
    }
}

#[case]
fn accepted_policies() {
    let mut failures = Failures::default();
    for case in weir_cases::accepted_policies() {
        let policy = match Policy::from_json(&case.document) {
            Ok(policy) => policy,
            Err(mistakes) => {
                failures.check(&case.id, &case.reason, "accepted", &mistakes.to_string());
                continue;
            }
        };
        let Some(same_as) = &case.same_as else { continue };
        let other = Policy::from_json(same_as).unwrap_or_else(|error| panic!("{}: same_as: {error}", case.id));
        for group in weir_cases::decisions() {
            for request in &group.cases {
                let [one, other] = [&policy, &other]
                    .map(|policy| policy.decide(&request.request.to_request()).reason().map_or("allow", Reason::code));
                failures.check(&format!("{} on {}", case.id, request.id), &case.reason, other, one);
            }
        }
    }
}
