//! A policy document as its author reads it: the fields that `check`, `explain` and `up` put into
//! words. The plugin's own parser has accepted the document before any of this is read, so nothing
//! is judged here, and nothing here decides a request.

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::Value;
use weir_policy::preset::{self, Preset};
use weir_policy::{Covers, Layer, Limits, Mistakes, Pattern, Policy, Rule};

/// A policy, and the document that it was read from.
#[derive(Debug)]
pub(crate) struct Document {
    /// What decides.
    pub(crate) policy: Policy,
    /// The presets that it names, in its order, and their places.
    pub(crate) presets: Vec<(&'static Preset, String)>,
    /// The place of the preset `all`, where it names that.
    pub(crate) all: Option<String>,
    /// Every entry of its lists and presets: denylist, domains, presets.
    pub(crate) entries: Vec<Entry>,
    /// The document itself; `Null` for an empty one.
    pub(crate) json: Value,
    /// The entries by their list and the name or address in them: lists are long.
    index: HashMap<(Layer, String), Vec<usize>>,
}

/// One entry of a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The list.
    pub(crate) layer: Layer,
    /// The preset's name, `allowlist` or `denylist`.
    pub(crate) source: String,
    /// The entry as it is written.
    pub(crate) text: String,
    /// What it covers.
    pub(crate) pattern: Pattern,
    /// Where it stands.
    pub(crate) place: String,
    /// Whether it is an object.
    pub(crate) is_rule: bool,
    /// What it allows at its hosts.
    pub(crate) limits: Limits,
}

impl Document {
    /// Reads a document with the plugin's parser.
    ///
    /// # Errors
    /// Every mistake of the document.
    pub(crate) fn read(bytes: &[u8]) -> Result<Document, Mistakes> {
        let policy = Policy::from_json(bytes)?;
        let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let (mut presets, mut all) = (Vec::new(), None);
        for (name, place) in preset_names(&json) {
            match preset::find(name) {
                Some(preset) => presets.push((preset, place)),
                None if name == "all" => all = Some(place),
                None => {}
            }
        }
        let entries = entries(&policy, &presets);
        let mut index: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            index.entry((entry.layer, host_of(&entry.pattern))).or_default().push(at);
        }
        Ok(Document { policy, presets, all, entries, json, index })
    }

    /// The entries of one list.
    pub(crate) fn entries_of(&self, layer: Layer) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.layer == layer)
    }

    /// The entries of one list that cover every host of `pattern`, itself among them if it is there.
    /// Those of the longest name come first.
    pub(crate) fn covering(&self, layer: Layer, pattern: &Pattern) -> Vec<&Entry> {
        let host = host_of(pattern);
        let mut names = vec![host.clone()];
        if let Pattern::Domain { .. } = pattern {
            names.extend(host.match_indices('.').filter_map(|(dot, _)| host.get(dot + 1..)).map(str::to_owned));
        }
        names
            .into_iter()
            .filter_map(|name| self.index.get(&(layer, name)))
            .flatten()
            .filter_map(|&at| self.entries.get(at))
            .filter(|entry| entry.pattern.covers(pattern))
            .collect()
    }

    /// What may be done at the hosts that `rule` of a decision lets through.
    pub(crate) fn limits_of(&self, rule: Rule<'_>) -> &Limits {
        self.policy
            .entries()
            .filter(|entry| entry.rule() == rule)
            // A plain domain and a rule with `subdomains: false` may be called the same: the decision
            // borrows the one that it means.
            .max_by_key(|entry| std::ptr::eq(entry.rule().pattern, rule.pattern))
            .map_or(self.policy.limits(), weir_policy::Entry::limits)
    }

    /// The word at a field of the document, or `default`.
    pub(crate) fn word<'d>(&'d self, field: &str, default: &'d str) -> &'d str {
        self.json.get(field).and_then(Value::as_str).unwrap_or(default)
    }
}

/// The entries of a policy with their places; `presets` are those that its document names.
fn entries(policy: &Policy, presets: &[(&'static Preset, String)]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for layer in [Layer::Deny, Layer::Allow, Layer::Preset] {
        let mut preset_places = presets.iter().flat_map(|(preset, place)| preset.domains.iter().map(move |_| place));
        // Those of one list stand in the document's order.
        for (index, entry) in policy.entries().filter(|entry| entry.layer() == layer).enumerate() {
            let place = match layer {
                Layer::Deny => format!("denylist[{index}]"),
                Layer::Allow => format!("allowlist.domains[{index}]"),
                Layer::Preset => preset_places.next().cloned().unwrap_or_default(),
            };
            let Some(pattern) = entry.pattern() else { continue };
            entries.push(Entry {
                layer,
                source: entry.rule().source.to_owned(),
                text: entry.rule().pattern.to_owned(),
                pattern,
                place,
                is_rule: entry.is_rule(),
                limits: entry.limits().clone(),
            });
        }
    }
    entries
}

/// The names of presets in a document, with their places.
fn preset_names(document: &Value) -> Vec<(&str, String)> {
    match document.pointer("/allowlist/preset") {
        Some(Value::Array(names)) => names
            .iter()
            .enumerate()
            .filter_map(|(index, name)| Some((name.as_str()?, format!("allowlist.preset[{index}]"))))
            .collect(),
        Some(Value::String(name)) => vec![(name, "allowlist.preset".to_owned())],
        _ => Vec::new(),
    }
}

/// The pattern that covers one host name alone.
pub(crate) fn exactly(name: &str) -> Pattern {
    match name.parse::<IpAddr>() {
        Ok(address) => Pattern::Address(address),
        Err(_) => Pattern::Domain { name: name.to_owned(), covers: Covers::Apex },
    }
}

/// What the patterns for a host have in common.
fn host_of(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Domain { name, .. } => name.clone(),
        Pattern::Address(address) => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::limits;

    #[test]
    fn a_wide_pattern_covers_a_narrow_one() {
        for (wide, narrow, expected) in [
            ("a.com", "a.com", true),
            ("a.com", "*.a.com", true),
            ("a.com", "=a.com", true),
            ("a.com", "x.a.com", true),
            ("a.com", "evila.com", false),
            ("x.a.com", "a.com", false),
            ("*.a.com", "a.com", false),
            ("*.a.com", "=a.com", false),
            ("*.a.com", "*.a.com", true),
            ("*.a.com", "x.a.com", true),
            ("*.a.com", "=x.a.com", true),
            ("=a.com", "a.com", false),
            ("=a.com", "=a.com", true),
            ("=a.com", "*.a.com", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("a.com", "192.0.2.2", false),
        ] {
            let parse = |text| Pattern::parse(text).unwrap();
            assert_eq!(parse(wide).covers(&parse(narrow)), expected, "{wide} over {narrow}");
        }
    }

    #[test]
    fn the_entries_that_cover_a_pattern_are_found() {
        let document = Document::read(
            br#"{"allowlist": {"domains": ["a.example", "*.a.example", "x.a.example", "=y.x.a.example", "b.example", "::1"]}}"#,
        )
        .unwrap();
        for (pattern, expected) in [
            ("=y.x.a.example", &["=y.x.a.example", "x.a.example", "a.example", "*.a.example"][..]),
            ("*.a.example", &["a.example", "*.a.example"]),
            ("eviLa.example", &[]),
            ("[::1]", &["::1"]),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            let found: Vec<&str> =
                document.covering(Layer::Allow, &pattern).iter().map(|entry| entry.text.as_str()).collect();
            assert_eq!(found, expected);
            // The same as asking every entry.
            let naive = document.entries.iter().filter(|entry| entry.pattern.covers(&pattern)).count();
            assert_eq!(found.len(), naive);
        }
    }

    #[test]
    fn the_entries_are_those_of_the_policy() {
        let document = Document::read(
            br#"{"internet_access": "on", "denylist": ["x.com"], "methods": "read-only", "ports": [443],
                "allowlist": {"preset": ["python", "rust"], "domains": ["a.com", {"domain": "b.com", "subdomains": false,
                    "methods": "all", "ports": "any", "paths": ["/v1"], "allow": ["git-fetch"]}]}}"#,
        )
        .unwrap();
        let labels: Vec<String> =
            document.entries.iter().map(|entry| format!("{}:{}", entry.source, entry.text)).collect();
        let of_policy: Vec<String> = document.policy.entries().map(|entry| entry.rule().to_string()).collect();
        let sorted = |mut labels: Vec<String>| {
            labels.sort();
            labels
        };
        assert_eq!(sorted(labels), sorted(of_policy));
        assert_eq!(document.presets.len(), 2);
        let a = document.limits_of(Rule { source: "allowlist", pattern: "a.com" });
        assert_eq!(a, document.policy.limits());
        assert_eq!(limits::methods(a), "GET, HEAD, OPTIONS");
        assert_eq!(limits::ports(a), "443");
        let b = document.limits_of(Rule { source: "allowlist", pattern: "b.com" });
        assert_eq!(
            (limits::methods(b).as_str(), limits::ports(b).as_str(), limits::paths(b).as_str()),
            ("all", "any", "/v1")
        );
        assert_eq!(document.entries[2].pattern, Pattern::parse("=b.com").unwrap());
    }

    #[test]
    fn two_entries_of_one_name_have_their_own_limits() {
        let document = Document::read(
            br#"{"internet_access": "on", "allowlist": {"domains": ["a.com",
                {"domain": "a.com", "subdomains": false, "paths": ["/v1"]}]}}"#,
        )
        .unwrap();
        for (authority, paths) in [(&b"a.com"[..], "/v1"), (b"x.a.com", "all")] {
            let request = weir_policy::Request { method: b"GET", authority, path: b"/v1", ..Default::default() };
            let rule = document.policy.decide(&request).rule().unwrap();
            assert_eq!(limits::paths(document.limits_of(rule)), paths);
        }
    }

    #[test]
    fn an_empty_document_is_one_too() {
        let document = Document::read(b" ").unwrap();
        assert!(document.entries.is_empty() && !document.policy.internet_access());
        assert_eq!(limits::ports(document.policy.limits()), "80, 443");
    }
}
