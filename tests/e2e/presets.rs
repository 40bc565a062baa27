//! The preset of the product page under Envoy: its 71 domains pass in five spellings, and three look-alikes of each do
//! not.
#![expect(clippy::panic, reason = "clippy takes only the test functions themselves for tests")]

use serde_json::json;
use weir_cases::RequestCase;
use weir_policy::Policy;
use weir_tests::cases::{Way, parallel, received, send};
use weir_tests::{Failures, Proxy, refusal};

const POLICY: &[u8] = br#"{"internet_access": "on", "allowlist": {"preset": "common-dependencies"}}"#;

fn domains() -> Vec<&'static str> {
    let list = include_str!("../../presets/common-dependencies.txt");
    let lines = list.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).collect()
}

fn request(method: &str, authority: &str) -> RequestCase {
    serde_json::from_value(json!({"method": method, "authority": authority})).unwrap_or_else(|error| panic!("{error}"))
}

/// Sends each authority over every way; CONNECT needs a port.
fn everywhere(authorities: &[String]) -> Vec<(String, Way, RequestCase)> {
    let mut all = Vec::new();
    for authority in authorities {
        for way in Way::ALL {
            let (method, authority) = match way {
                Way::Connect if authority.ends_with(":443") => ("CONNECT", authority.clone()),
                Way::Connect => ("CONNECT", format!("{authority}:443")),
                _ => ("GET", authority.clone()),
            };
            all.push((format!("{authority}/{}", way.name()), way, request(method, &authority)));
        }
    }
    all
}

/// `evil` before the domain; if another line covers that (evildotnet.microsoft.com is below microsoft.com), before the
/// shorter line (dotnet.evilmicrosoft.com).
fn evil_before(domain: &str) -> String {
    let lines = domains();
    let covers = |line: &&&str| domain.strip_suffix(**line).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let line = lines.iter().filter(covers).min_by_key(|line| line.len()).unwrap_or(&domain);
    format!("{}evil{line}", domain.strip_suffix(line).unwrap_or_default())
}

#[test]
fn the_71_domains_pass_and_their_look_alikes_do_not() {
    let domains = domains();
    assert_eq!(domains.len(), 71);
    let proxy = Proxy::start(POLICY);
    let policy = Policy::from_json(POLICY).unwrap_or_else(|error| panic!("{error}"));
    let failures = Failures::default();

    let spellings: [fn(&str) -> String; 5] = [
        str::to_owned,
        |domain| format!("a.b-1.c2.d.e.{domain}"),
        str::to_ascii_uppercase,
        |domain| format!("{domain}:443"),
        |domain| format!("{domain}."),
    ];
    for spelling in spellings {
        let requests = everywhere(&domains.iter().map(|domain| spelling(domain)).collect::<Vec<_>>());
        let sent = parallel(&requests, |(id, way, request)| send(&proxy, *way, request, id));
        let mut arrived = received(&proxy);
        assert_eq!(sent.len(), 71 * 3);
        for ((id, way, _), sent) in requests.iter().zip(sent) {
            failures.check(id, sent.outcome.status() == Some(200), format_args!("must pass: {}", sent.outcome));
            let inside = sent.inside.as_ref().and_then(weir_tests::Outcome::status);
            failures.check(
                id,
                *way != Way::Connect || inside == Some(200),
                format_args!("inside the tunnel: {inside:?}"),
            );
            let arrived = arrived.remove(id).unwrap_or_default();
            failures.same(id, "requests at the stand-in", &1, &arrived.len());
        }
    }

    let look_alikes: [fn(&str) -> String; 3] =
        [evil_before, |domain| format!("{domain}.evil.example"), |domain| domain.replacen('.', "x", 1)];
    for look_alike in look_alikes {
        let requests = everywhere(&domains.iter().map(|domain| look_alike(domain)).collect::<Vec<_>>());
        let sent = parallel(&requests, |(id, way, request)| send(&proxy, *way, request, id));
        assert_eq!(sent.len(), 71 * 3);
        for ((id, _, request), sent) in requests.iter().zip(sent) {
            match sent.outcome.answer() {
                Some(answer) => {
                    refusal::check(&failures, id, answer, "domain-not-allowed", &policy, &request.to_request());
                }
                None => failures.add(id, format_args!("must be refused: {}", sent.outcome)),
            }
        }
        failures.same("look-alikes", "requests at the stand-in", &Vec::new(), &received(&proxy).into_keys().collect());
    }
}
