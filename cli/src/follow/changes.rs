//! What is different between two policies, in words.

use std::collections::HashMap;

use weir_policy::{Layer, Limits, Pattern};

use crate::document::limits;
use crate::document::policy_file::{Document, Entry};

/// One line for each thing that changed; none where the two decide alike.
pub(super) fn changes(old: &Document, new: &Document) -> Vec<String> {
    let mut changes = Vec::new();
    let mut words = |name: &str, before: &str, after: &str| {
        if before != after {
            changes.push(format!("{name}: {before} -> {after}"));
        }
    };
    let access = |document: &Document| if document.policy.internet_access() { "on" } else { "off" };
    words("internet_access", access(old), access(new));
    words("tls", old.policy.limits().tls.as_str(), new.policy.limits().tls.as_str());
    words("mode", old.policy.mode().as_str(), new.policy.mode().as_str());
    words("methods", &limits::methods(old.policy.limits()), &limits::methods(new.policy.limits()));
    words("ports", &limits::ports(old.policy.limits()), &limits::ports(new.policy.limits()));
    words("preset", &presets(old), &presets(new));
    let (old_audit, new_audit) = (old.policy.audit(), new.policy.audit());
    words("audit.log", old_audit.log.as_str(), new_audit.log.as_str());
    words("audit.detail", old_audit.detail.as_str(), new_audit.detail.as_str());
    words("name", &format!("{:?}", old.policy.name()), &format!("{:?}", new.policy.name()));
    let (before, after) = (by_key(old), by_key(new));
    for entry in listed(old) {
        if !after.contains_key(&key(entry)) {
            changes.push(format!("{}: - {}", entry.source(), entry.text()));
        }
    }
    for entry in listed(new) {
        let (list, text) = (entry.source(), entry.text());
        match before.get(&key(entry)) {
            None => changes.push(format!("{list}: + {text}{}", own_limits(entry))),
            // A plain entry follows the policy's own limits, which are told above.
            Some(before) if entry.is_rule() && before.limits() != entry.limits() => {
                let limits = format!("{} -> {}", limits(before.limits()), limits(entry.limits()));
                changes.push(format!("{list}: {text}: {limits}"));
            }
            Some(_) => {}
        }
    }
    changes
}

/// Own entries. What a preset holds is not the document's.
fn listed(document: &Document) -> impl Iterator<Item = Entry<'_>> {
    document.entries().filter(|entry| entry.layer() != Layer::Preset)
}

/// What makes two entries the same one.
type Key<'d> = (Layer, &'d Pattern, bool);

fn key(entry: Entry<'_>) -> Key<'_> {
    (entry.layer(), entry.pattern, entry.is_rule())
}

fn by_key(document: &Document) -> HashMap<Key<'_>, Entry<'_>> {
    listed(document).map(|entry| (key(entry), entry)).collect()
}

fn presets(document: &Document) -> String {
    let mut names: Vec<&str> = document.policy.presets().map(|(preset, _)| preset.name).collect();
    if document.policy.unlisted().is_some() {
        names.push("all");
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn own_limits(entry: Entry<'_>) -> String {
    if entry.is_rule() { format!(" ({})", limits(entry.limits())) } else { String::new() }
}

fn limits(limits: &Limits) -> String {
    format!("methods {}; ports {}; paths {}", limits::methods(limits), limits::ports(limits), limits::paths(limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(old: &str, new: &str) -> Vec<String> {
        let read = |text: &str| Document::read(text.as_bytes()).unwrap();
        changes(&read(old), &read(new))
    }

    #[test]
    fn what_changed_is_told() {
        let old = r#"{"internet_access": "on", "allowlist": {"preset": "rust", "domains": ["a.example", "b.example",
            {"domain": "c.example", "methods": ["GET"]}]}, "denylist": ["x.example"]}"#;
        let new = r#"{"internet_access": "on", "allowlist": {"preset": ["rust", "go"], "domains": ["B.example",
            {"domain": "c.example", "methods": ["GET", "POST"]}, {"domain": "d.example", "paths": ["/v1"]}]},
            "denylist": ["x.example", "y.example"], "mode": "audit", "audit": {"log": "all"}, "name": "ci"}"#;
        assert_eq!(
            between(old, new),
            [
                "mode: enforce -> audit",
                "preset: rust -> rust, go",
                "audit.log: denied -> all",
                "name: \"\" -> \"ci\"",
                "allowlist: - a.example",
                "denylist: + y.example",
                "allowlist: c.example: methods GET; ports 80, 443; paths all -> methods GET, POST; ports 80, 443; paths all",
                "allowlist: + d.example (methods all; ports 80, 443; paths /v1)",
            ]
        );
        assert_eq!(between(old, old), [""; 0]);
        assert_eq!(between(new, &new.replace(", ", ",\n")), [""; 0]);
    }

    #[test]
    fn a_field_that_is_left_out_is_its_default() {
        assert_eq!(between("", "{}"), [""; 0]);
        assert_eq!(between("{}", r#"{"tls": "passthrough", "methods": "all", "ports": [80, 443]}"#), [""; 0]);
        assert_eq!(between(r#"{"internet_access": "on"}"#, ""), ["internet_access: on -> off"]);
        assert_eq!(between("{}", r#"{"methods": "read-only"}"#), ["methods: all -> GET, HEAD, OPTIONS"]);
    }
}
