//! What a refused client must receive, derived from the contract (docs/reasons.md) and not from the code.

use serde_json::{Value, json};
use weir_policy::{Policy, Report, Request};

use crate::{Answer, Failures};

/// Every reason, with its coarser value of `x-proxy-error`.
pub const REASONS: [(&str, &str); 14] = [
    ("access-off", "blocked-by-policy"),
    ("authority-invalid", "blocked-by-policy"),
    ("ip-literal", "blocked-by-allowlist"),
    ("special-name", "blocked-by-allowlist"),
    ("domain-denied", "blocked-by-denylist"),
    ("domain-not-allowed", "blocked-by-allowlist"),
    ("port-not-allowed", "blocked-by-policy"),
    ("method-not-allowed", "blocked-by-method-policy"),
    ("method-override", "blocked-by-method-policy"),
    ("body-not-allowed", "blocked-by-method-policy"),
    ("upgrade-not-allowed", "blocked-by-method-policy"),
    ("tunnel-not-inspected", "blocked-by-mitm-required"),
    ("path-not-allowed", "blocked-by-policy"),
    ("tls-name-mismatch", "blocked-by-policy"),
];

/// A parsed `x-weir-decision` header (RFC 9651): an item and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionHeader {
    /// `allow`, `deny` or `would-deny`.
    pub outcome: String,
    /// `reason`, `host`, `method`, `rule` and the like, if present, unquoted.
    pub parameters: Vec<(String, String)>,
}

impl DecisionHeader {
    /// Parses a header; `None` if it is not one item with parameters that are tokens or strings.
    pub fn parse(header: &str) -> Option<DecisionHeader> {
        let end = header.find(';').unwrap_or(header.len());
        let (outcome, mut rest) = header.split_at(end);
        let mut decision = DecisionHeader { outcome: token(outcome)?, parameters: Vec::new() };
        while !rest.is_empty() {
            let parameter = rest.strip_prefix("; ")?;
            let (name, value) = parameter.split_once('=')?;
            let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
                string(quoted)?
            } else {
                let end = value.find(';').unwrap_or(value.len());
                (token(&value[..end])?, &value[end..])
            };
            decision.parameters.push((name.to_owned(), value));
            rest = after;
        }
        Some(decision)
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

fn token(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*');
    (begins && text.bytes().all(allowed)).then(|| text.to_owned())
}

/// The string after an opening quote, and what follows its closing quote.
fn string(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => match characters.next()?.1 {
                escaped @ ('"' | '\\') => value.push(escaped),
                _ => return None,
            },
            ' '..='~' => value.push(character),
            _ => return None,
        }
    }
    None
}

/// Notes everything wrong with the refusal of `request` for `reason` by `policy`. `request` is what the plugin sees, as
/// the decision receives it.
pub fn check(failures: &Failures, id: &str, answer: &Answer, reason: &str, policy: &Policy, request: &Request<'_>) {
    failures.same(id, "status", &403, &answer.status);
    let header = answer.header("x-weir-decision").unwrap_or_default();
    let Some(decision) = DecisionHeader::parse(header) else {
        failures.add(id, format_args!("x-weir-decision is {header:?}"));
        return;
    };
    failures.same(id, "outcome", &"deny", &decision.outcome.as_str());
    failures.same(id, "reason", &Some(reason), &decision.get("reason"));
    let word = REASONS.iter().find(|(code, _)| *code == reason).map(|(_, word)| *word);
    failures.same(id, "x-proxy-error", &word, &answer.header("x-proxy-error"));
    failures.same(id, "content-type", &Some("application/problem+json"), &answer.header("content-type"));
    failures.same(id, "cache-control", &Some("no-store"), &answer.header("cache-control"));

    // The report of the policy crate, which its own tests check word by word: nothing may change on the way.
    let native = policy.decide(request);
    let report = Report::new(policy, request, &native);
    failures.same(id, "x-weir-decision", &report.header().as_str(), &header);

    if request.method == b"HEAD" {
        failures.check(id, answer.body.is_empty(), "HEAD was answered with a body");
        let length = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
        failures.check(id, length.is_none_or(|length| length == report.problem().len()), "content-length of HEAD");
        return;
    }
    failures.same(
        id,
        "content-length",
        &Some(answer.body.len().to_string().as_str()),
        &answer.header("content-length"),
    );
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return failures.add(id, format_args!("the body is not JSON: {:?}", answer.text()));
    };
    check_body(failures, id, &body, &decision, policy.name());
}

fn check_body(failures: &Failures, id: &str, body: &Value, decision: &DecisionHeader, policy: &str) {
    let reason = decision.get("reason").unwrap_or_default();
    let mut expected = json!({
        "type": format!("urn:weir:denied:{reason}"),
        "title": "Refused by the egress policy",
        "status": 403,
        "reason": reason,
    });
    // With `"detail": "minimal"` header and body contain no more.
    if decision.get("host").is_some() || body.get("detail").is_some() {
        let detail = body["detail"].as_str().unwrap_or_default();
        failures.check(id, detail.contains("deliberate") && detail.len() > 40, format_args!("detail: {detail:?}"));
        expected["detail"] = json!(detail);
        expected["host"] = json!(decision.get("host"));
        expected["method"] = json!(decision.get("method"));
        expected["rule"] = json!(decision.get("rule"));
        expected["policy"] = json!(policy);
    }
    failures.same(id, "body", &expected, body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_policy::Reason;

    #[test]
    fn the_header_is_parsed() {
        let decision =
            DecisionHeader::parse(r#"deny; reason=ip-literal; host="a\"b\\; rule=\"x\""; method="G;T""#).unwrap();
        assert_eq!(decision.outcome, "deny");
        assert_eq!(decision.get("host"), Some("a\"b\\; rule=\"x\""));
        assert_eq!(decision.get("method"), Some("G;T"));
        assert_eq!(decision.get("rule"), None);
        for broken in [
            "",
            "deny;reason=x",
            "deny; reason",
            "deny; host=\"a",
            "deny; host=\"a\" x",
            "de ny",
            "deny; host=\"\u{7f}\"",
        ] {
            assert_eq!(DecisionHeader::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_code_knows_the_reasons_of_the_contract() {
        let code: Vec<_> = Reason::ALL.iter().map(|reason| (reason.code(), reason.proxy_error())).collect();
        for pair in REASONS {
            assert!(code.contains(&pair), "{pair:?}");
        }
        assert_eq!(code.len(), REASONS.len());
    }
}
