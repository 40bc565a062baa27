//! A policy for `check`, `explain` and `up` to put into words: the entries with what they cover, found again by the
//! hosts that they cover. What an entry allows and where it stands is the policy's own word; nothing here reads the
//! document a second time, and nothing here decides a request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Deref;

use serde_json::Value;
use weir_policy::preset::Preset;
use weir_policy::{Covers, Layer, Mistakes, Pattern, Policy};

/// A policy that was read.
#[derive(Debug)]
pub(crate) struct Document {
    /// What decides.
    pub(crate) policy: Policy,
    bytes: Vec<u8>,
    /// What the entries cover, by their index in the policy.
    patterns: Vec<Option<Pattern>>,
    /// The indices of the entries by their list and the name or address in them: lists are long.
    index: HashMap<(Layer, String), Vec<usize>>,
}

/// One entry of a list, and what it covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'d> {
    entry: weir_policy::Entry<'d>,
    /// What it covers.
    pub(crate) pattern: &'d Pattern,
}

impl<'d> Deref for Entry<'d> {
    type Target = weir_policy::Entry<'d>;

    fn deref(&self) -> &Self::Target {
        &self.entry
    }
}

impl Document {
    /// Reads JSON with the plugin's parser.
    ///
    /// # Errors
    /// Every mistake of the document.
    pub(crate) fn read(bytes: &[u8]) -> Result<Document, Mistakes> {
        let policy = Policy::from_json(bytes)?;
        let patterns: Vec<Option<Pattern>> = policy.entries().map(weir_policy::Entry::pattern).collect();
        let mut index: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, (entry, pattern)) in policy.entries().zip(&patterns).enumerate() {
            if let Some(pattern) = pattern {
                index.entry((entry.layer(), host_of(pattern))).or_default().push(at);
            }
        }
        Ok(Document { policy, bytes: bytes.to_owned(), patterns, index })
    }

    /// Every entry: those of the denylist, then those of the allowlist, then those of presets.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        [Layer::Deny, Layer::Allow, Layer::Preset].into_iter().flat_map(|layer| self.entries_of(layer))
    }

    /// The entries of one list.
    pub(crate) fn entries_of(&self, layer: Layer) -> impl Iterator<Item = Entry<'_>> {
        (0..self.patterns.len()).filter_map(|at| self.entry(at)).filter(move |entry| entry.layer() == layer)
    }

    /// The entries of one list that cover every host of `pattern`, itself among them if it is there.
    /// Those of the longest name come first.
    pub(crate) fn covering(&self, layer: Layer, pattern: &Pattern) -> Vec<Entry<'_>> {
        let host = host_of(pattern);
        let mut names = vec![host.clone()];
        if let Pattern::Domain { .. } = pattern {
            names.extend(host.match_indices('.').filter_map(|(dot, _)| host.get(dot + 1..)).map(str::to_owned));
        }
        names
            .into_iter()
            .filter_map(|name| self.index.get(&(layer, name)))
            .flatten()
            .filter_map(|&at| self.entry(at))
            .filter(|entry| entry.pattern.covers(pattern))
            .collect()
    }

    fn entry(&self, at: usize) -> Option<Entry<'_>> {
        Some(Entry { entry: self.policy.entry(at)?, pattern: self.patterns.get(at)?.as_ref()? })
    }

    /// The presets that it names, in its order, and the places of their names.
    pub(crate) fn presets(&self) -> Vec<(&'static Preset, String)> {
        self.policy.presets().collect()
    }

    /// The JSON that the plugin gets.
    pub(crate) fn json(&self) -> &[u8] {
        &self.bytes
    }

    /// The document as a value, to try a change on; `Null` for an empty one.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
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
            br#"{"allowlist": {"domains":
                ["a.example", "*.a.example", "x.a.example", "=y.x.a.example", "b.example", "::1"]}}"#,
        )
        .unwrap();
        for (pattern, expected) in [
            ("=y.x.a.example", &["=y.x.a.example", "x.a.example", "a.example", "*.a.example"][..]),
            ("*.a.example", &["a.example", "*.a.example"]),
            ("eviLa.example", &[]),
            ("[::1]", &["::1"]),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            let found: Vec<&str> = document.covering(Layer::Allow, &pattern).iter().map(|entry| entry.text()).collect();
            assert_eq!(found, expected);
            // The same as asking every entry.
            let naive = document.entries().filter(|entry| entry.pattern.covers(&pattern)).count();
            assert_eq!(found.len(), naive);
        }
    }

    #[test]
    fn an_entry_has_its_place_and_its_limits() {
        let document = Document::read(
            br#"{"internet_access": "on", "denylist": ["x.com"], "methods": "read-only", "ports": [443],
                "allowlist": {"preset": ["none", "python", "rust"], "domains": ["a.com", {"domain": "b.com",
                    "subdomains": false, "methods": "all", "ports": "any", "paths": ["/v1"],
                    "allow": ["git-fetch"]}]}}"#,
        )
        .unwrap();
        let entries: Vec<Entry<'_>> = document.entries().collect();
        let told: Vec<String> = entries.iter().map(|entry| format!("{} {}", **entry, entry.place())).collect();
        assert_eq!(
            told[..3],
            [
                "denylist:x.com denylist[0]",
                "allowlist:a.com allowlist.domains[0]",
                "allowlist:b.com allowlist.domains[1]"
            ]
        );
        assert!(told[3].starts_with("python:") && told[3].ends_with(" allowlist.preset[1]"), "{}", told[3]);
        assert!(told.last().unwrap().ends_with(" allowlist.preset[2]"));
        assert_eq!(told.len(), document.policy.entries().count());
        let presets: Vec<String> = document.presets().into_iter().map(|(_, place)| place).collect();
        assert_eq!(presets, ["allowlist.preset[1]", "allowlist.preset[2]"]);

        let (a, b) = (entries[1], entries[2]);
        assert_eq!(a.limits(), document.policy.limits());
        assert_eq!(
            (limits::methods(a.limits()).as_str(), limits::ports(a.limits()).as_str()),
            ("GET, HEAD, OPTIONS", "443")
        );
        assert_eq!((limits::methods(b.limits()).as_str(), limits::ports(b.limits()).as_str()), ("all", "any"));
        assert_eq!(limits::paths(b.limits()), "/v1");
        assert_eq!(b.pattern, &Pattern::parse("=b.com").unwrap());
    }

    #[test]
    fn the_preset_all_has_a_place_too() {
        let read = |preset: &str| {
            let document = format!(r#"{{"internet_access": "on", "allowlist": {{"preset": {preset}}}}}"#);
            Document::read(document.as_bytes()).unwrap().policy.unlisted().map(weir_policy::Entry::place)
        };
        assert_eq!(read(r#""all""#).as_deref(), Some("allowlist.preset"));
        assert_eq!(read(r#"["rust", "all", "all"]"#).as_deref(), Some("allowlist.preset[1]"));
        assert_eq!(read(r#""none""#), None);
    }

    #[test]
    fn two_entries_of_one_name_have_their_own_limits() {
        let document = Document::read(
            br#"{"internet_access": "on", "allowlist": {"domains": ["a.com",
                {"domain": "a.com", "subdomains": false, "paths": ["/v1"]}]}}"#,
        )
        .unwrap();
        for (authority, paths, place) in
            [(&b"a.com"[..], "/v1", "allowlist.domains[1]"), (b"x.a.com", "all", "allowlist.domains[0]")]
        {
            let request = weir_policy::Request { method: b"GET", authority, path: b"/v1", ..Default::default() };
            let entry = document.policy.decide(&request).entry().unwrap();
            assert_eq!((limits::paths(entry.limits()).as_str(), entry.place().as_str()), (paths, place));
        }
    }

    #[test]
    fn an_empty_document_is_one_too() {
        let document = Document::read(b" ").unwrap();
        assert!(document.entries().next().is_none() && !document.policy.internet_access());
        assert_eq!(limits::ports(document.policy.limits()), "80, 443");
    }
}
