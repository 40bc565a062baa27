//! What is different between two policies, in words.

use std::collections::HashMap;

use serde_json::Value;
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
    words("internet_access", old.word("internet_access", "off"), new.word("internet_access", "off"));
    words("tls", old.word("tls", "passthrough"), new.word("tls", "passthrough"));
    words("mode", old.word("mode", "enforce"), new.word("mode", "enforce"));
    words("methods", &limits::methods(old.policy.limits()), &limits::methods(new.policy.limits()));
    words("ports", &limits::ports(old.policy.limits()), &limits::ports(new.policy.limits()));
    words("preset", &presets(old), &presets(new));
    for (field, default) in [("log", "denied"), ("detail", "full")] {
        words(&format!("audit.{field}"), audit(old, field, default), audit(new, field, default));
    }
    words("name", &format!("{:?}", old.policy.name()), &format!("{:?}", new.policy.name()));
    let (before, after) = (by_key(old), by_key(new));
    for (list, entry) in listed(old) {
        if !after.contains_key(&key(entry)) {
            changes.push(format!("{list}: - {}", entry.text));
        }
    }
    for (list, entry) in listed(new) {
        match before.get(&key(entry)) {
            None => changes.push(format!("{list}: + {}{}", entry.text, own_limits(entry))),
            // A plain entry follows the policy's own limits, which are told above.
            Some(before) if entry.is_rule && before.limits != entry.limits => {
                let limits = format!("{} -> {}", limits(&before.limits), limits(&entry.limits));
                changes.push(format!("{list}: {}: {limits}", entry.text));
            }
            Some(_) => {}
        }
    }
    changes
}

/// Own entries with the names of their lists. What a preset holds is not the document's.
fn listed(document: &Document) -> impl Iterator<Item = (&str, &Entry)> {
    document.entries.iter().filter(|entry| entry.layer != Layer::Preset).map(|entry| (entry.source.as_str(), entry))
}

/// What makes two entries the same one.
type Key<'d> = (Layer, &'d Pattern, bool);

fn key(entry: &Entry) -> Key<'_> {
    (entry.layer, &entry.pattern, entry.is_rule)
}

fn by_key(document: &Document) -> HashMap<Key<'_>, &Entry> {
    listed(document).map(|(_, entry)| (key(entry), entry)).collect()
}

fn presets(document: &Document) -> String {
    let mut names: Vec<&str> = document.presets.iter().map(|(preset, _)| preset.name).collect();
    if document.all.is_some() {
        names.push("all");
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn audit<'d>(document: &'d Document, field: &str, default: &'d str) -> &'d str {
    document.json.get("audit").and_then(|audit| audit.get(field)).and_then(Value::as_str).unwrap_or(default)
}

fn own_limits(entry: &Entry) -> String {
    if entry.is_rule { format!(" ({})", limits(&entry.limits)) } else { String::new() }
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
