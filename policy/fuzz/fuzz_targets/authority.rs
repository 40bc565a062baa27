//! Any bytes as an authority: never a panic, and what is allowed is allowed by the oracle too.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weir_policy::{Policy, Request};

#[path = "../../tests/oracle/mod.rs"]
mod oracle;
use oracle::{Entry, covering};

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    [("", "github.com"), ("*.", "example.org"), ("=", "one.example.net"), ("**.", "a.b.example.org"), ("", "b.example.org")]
        .map(|(prefix, name)| Entry::new(prefix, name.to_owned()))
        .into()
});

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let domains: Vec<String> = ENTRIES.iter().map(|entry| format!("\"{}\"", entry.written())).collect();
    let document = format!(
        r#"{{"internet_access": "on", "ports": "any", "allowlist": {{"domains": [{}]}}}}"#,
        domains.join(", ")
    );
    Policy::from_json(document.as_bytes()).expect("a valid policy")
});

fuzz_target!(|authority: &[u8]| {
    let request = Request { method: b"GET", authority, path: authority, ..Request::default() };
    let decision = POLICY.decide(&request);
    let host = std::str::from_utf8(authority).ok().map(|text| text.split_once(':').map_or(text, |(host, _)| host));
    let expected = host.and_then(|host| covering(&ENTRIES, host)).map(|entry| format!("allowlist:{}", entry.written()));
    if decision.is_allowed() {
        assert_eq!(decision.entry().map(|entry| entry.to_string()), expected);
    } else if let Some(host) = host.filter(|_| expected.is_some()) {
        // The oracle does not know what a valid host is: then the policy has to have refused for that.
        assert_eq!(decision.reason().map(|reason| reason.code()), Some("authority-invalid"), "{host}");
    }
});
