//! What holds for any input: the automaton agrees with a naive loop over labels, nothing panics, and
//! nothing is allowed whose host that loop does not allow.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;

use oracle::{Entry, covering};
use proptest::prelude::*;
use weir_policy::{Authority, Decision, Host, Policy, Request};

/// Few letters, so that names are often suffixes and near misses of one another.
fn name() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{1,2}(-[ab])?", 2..5).prop_map(|labels| labels.join("."))
}

fn entry() -> impl Strategy<Value = Entry> {
    (prop::sample::select(vec!["", "=", "*.", "**."]), name()).prop_map(|(prefix, name)| Entry::new(prefix, name))
}

fn host() -> impl Strategy<Value = String> {
    (
        name(),
        prop::sample::select(vec!["", "a.", "b.a.", "evil", "x-"]),
        prop::sample::select(vec!["", "."]),
        any::<bool>(),
    )
        .prop_map(|(name, before, after, upper)| {
            let host = format!("{before}{name}{after}");
            if upper { host.to_uppercase() } else { host }
        })
}

fn document(allow: &[Entry], deny: &[Entry]) -> String {
    let list =
        |entries: &[Entry]| serde_json::to_string(&entries.iter().map(Entry::written).collect::<Vec<_>>()).unwrap();
    format!(r#"{{"internet_access": "on", "allowlist": {{"domains": {}}}, "denylist": {}}}"#, list(allow), list(deny))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Verdict and governing entry are those of the naive loop.
    #[test]
    fn automaton_agrees_with_a_loop_over_labels(
        allow in prop::collection::vec(entry(), 0..12),
        deny in prop::collection::vec(entry(), 0..4),
        hosts in prop::collection::vec(host(), 1..20),
    ) {
        let policy = Policy::from_json(document(&allow, &deny).as_bytes()).unwrap();
        for host in &hosts {
            let decision = policy.decide(&Request { method: b"GET", authority: host.as_bytes(), ..Request::default() });
            let found = decision.entry().map(|entry| entry.to_string());
            let expected = match (covering(&deny, host), covering(&allow, host)) {
                (Some(denied), _) => (false, Some(format!("denylist:{}", denied.written()))),
                (None, Some(allowed)) => (true, Some(format!("allowlist:{}", allowed.written()))),
                (None, None) => (false, None),
            };
            prop_assert_eq!((decision.is_allowed(), found), expected, "{}", host);
        }
    }

    /// Any bytes are read without a panic, and a host that was read is read the same again.
    #[test]
    fn reading_is_idempotent(
        bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(b"aZ09.-_:[]%".to_vec())],
            0..80,
        ),
    ) {
        if let Ok(authority) = Authority::parse(&bytes) {
            let again = match authority.host {
                Host::Name(name) | Host::Numeric(name) => name.as_str().to_owned(),
                Host::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
                Host::Address(address) => address.to_string(),
            };
            // A numeric host that a trailing dot made one is an address without it.
            if !matches!(authority.host, Host::Numeric(_)) {
                prop_assert_eq!(Authority::parse(again.as_bytes()).unwrap().host, authority.host);
            }
        }
    }

    /// A name is valid exactly when its labels are, looked at one by one.
    #[test]
    fn names_are_valid_by_their_labels(
        labels in prop::collection::vec("[a-zA-Z0-9_-]{0,9}|[a-z]{60,66}", 1..8),
        odd in prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut name = labels.join(".").into_bytes();
        if let Some((at, byte)) = odd {
            name.insert(at.index(name.len() + 1), byte);
        }
        let stripped = name.strip_suffix(b".").unwrap_or(&name);
        let is_valid = stripped.len() <= 253
            && stripped.split(|&byte| byte == b'.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            });
        let has_port = name.contains(&b':');
        if !has_port && name.first() != Some(&b'[') {
            prop_assert_eq!(Authority::parse(&name).is_ok(), is_valid, "{}", String::from_utf8_lossy(&name));
        }
    }

    /// Whatever bytes a request is made of: what is allowed has a host that the naive loop allows.
    #[test]
    fn nothing_else_is_allowed(
        allow in prop::collection::vec(entry(), 1..8),
        method in prop::collection::vec(any::<u8>(), 0..8),
        path in prop::collection::vec(any::<u8>(), 0..40),
        noise in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"ab.-".to_vec())], 0..12),
        host in host(),
        at in any::<prop::sample::Index>(),
    ) {
        let policy = Policy::from_json(document(&allow, &[]).as_bytes()).unwrap();
        let mut authority = host.into_bytes();
        let at = at.index(authority.len() + 1);
        authority.splice(at..at, noise);
        let request = Request { method: &method, authority: &authority, path: &path, ..Request::default() };
        if let Decision::Allow { .. } = policy.decide(&request) {
            let text = std::str::from_utf8(&authority).expect("what is allowed is ASCII");
            let host = text.strip_suffix(":80").or(text.strip_suffix(":443")).unwrap_or(text);
            prop_assert!(covering(&allow, host).is_some(), "{}", text);
        }
    }

    /// Any document is accepted or refused, never a panic; a refusal says something.
    #[test]
    fn any_document_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(mistakes) = Policy::from_json(&bytes) {
            prop_assert!(!mistakes.to_string().is_empty());
        }
    }
}
