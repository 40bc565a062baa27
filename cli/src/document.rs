//! A policy document as its author reads it: the fields that `check`, `explain` and `up` put into
//! words. The plugin's own parser has accepted the document before any of this is read, so nothing
//! is judged here, and nothing here decides a request.

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::Value;
use weir_policy::pattern::{Covers, Pattern};
use weir_policy::preset::{self, Preset};
use weir_policy::{Layer, Mistakes, Policy, Rule};

/// The ports of a document that names none.
const DEFAULT_PORTS: [u64; 2] = [80, 443];

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
    /// What it allows where a rule says nothing else.
    pub(crate) limits: Limits,
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
    pub(crate) source: &'static str,
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

/// What may be done at a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `None` for all.
    pub(crate) methods: Option<Vec<String>>,
    /// `None` for any.
    pub(crate) ports: Option<Vec<u64>>,
    /// `None` for every path.
    pub(crate) paths: Option<Vec<String>>,
    /// Whether `git-fetch` is allowed.
    pub(crate) git_fetch: bool,
}

impl Document {
    /// Reads a document with the plugin's parser.
    ///
    /// # Errors
    /// Every mistake of the document.
    pub(crate) fn read(bytes: &[u8]) -> Result<Document, Mistakes> {
        let policy = Policy::from_json(bytes)?;
        let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let limits = Limits { ports: Some(DEFAULT_PORTS.to_vec()), ..Limits::default() }.replaced_by(&json);
        let mut document = Document {
            policy,
            presets: Vec::new(),
            all: None,
            entries: Vec::new(),
            limits,
            json,
            index: HashMap::new(),
        };
        document.read_entries();
        Ok(document)
    }

    fn read_entries(&mut self) {
        let json = std::mem::take(&mut self.json);
        for (index, entry) in items(json.get("denylist")).iter().enumerate() {
            self.add(Layer::Deny, "denylist", entry, format!("denylist[{index}]"));
        }
        let allowlist = json.get("allowlist");
        for (index, entry) in items(allowlist.and_then(|list| list.get("domains"))).iter().enumerate() {
            self.add(Layer::Allow, "allowlist", entry, format!("allowlist.domains[{index}]"));
        }
        match allowlist.and_then(|list| list.get("preset")) {
            Some(Value::Array(names)) => {
                for (index, name) in names.iter().enumerate() {
                    self.add_preset(name, format!("allowlist.preset[{index}]"));
                }
            }
            Some(name) => self.add_preset(name, "allowlist.preset".to_owned()),
            None => {}
        }
        self.json = json;
    }

    fn add(&mut self, layer: Layer, source: &'static str, entry: &Value, place: String) {
        let is_rule = entry.is_object();
        let text = if is_rule { entry.get("domain") } else { Some(entry) };
        let text = text.and_then(Value::as_str).unwrap_or_default().to_owned();
        let Ok(mut pattern) = Pattern::parse(&text) else { return };
        if let Pattern::Domain { covers, .. } = &mut pattern
            && entry.get("subdomains") == Some(&Value::Bool(false))
        {
            *covers = Covers::Apex;
        }
        let limits = self.limits.clone().replaced_by(entry);
        self.index.entry((layer, host_of(&pattern))).or_default().push(self.entries.len());
        self.entries.push(Entry { layer, source, text, pattern, place, is_rule, limits });
    }

    fn add_preset(&mut self, name: &Value, place: String) {
        match name.as_str() {
            Some("all") => self.all = Some(place),
            Some(name) => {
                let Some(preset) = preset::find(name) else { return };
                for &domain in preset.domains {
                    self.add(Layer::Preset, preset.name, &Value::from(domain), place.clone());
                }
                self.presets.push((preset, place));
            }
            None => {}
        }
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
            .filter(|entry| covers(&entry.pattern, pattern))
            .collect()
    }

    /// What may be done at the hosts that `rule` lets through.
    pub(crate) fn limits_of(&self, rule: Rule<'_>) -> &Limits {
        self.entries
            .iter()
            .filter(|entry| entry.source == rule.source && entry.text == rule.pattern)
            .max_by_key(|entry| entry.is_rule)
            .map_or(&self.limits, |entry| &entry.limits)
    }

    /// The word at a field of the document, or `default`.
    pub(crate) fn word<'d>(&'d self, field: &str, default: &'d str) -> &'d str {
        self.json.get(field).and_then(Value::as_str).unwrap_or(default)
    }
}

impl Limits {
    /// These, with what a document or a rule says of its own.
    fn replaced_by(mut self, fields: &Value) -> Limits {
        match fields.get("methods") {
            Some(Value::Array(methods)) => self.methods = Some(texts(methods)),
            Some(Value::String(word)) if word == "read-only" => {
                self.methods = Some(weir_policy::method::READ_ONLY.iter().map(|&method| method.to_owned()).collect());
            }
            Some(_) => self.methods = None,
            None => {}
        }
        match fields.get("ports") {
            Some(Value::Array(ports)) => self.ports = Some(ports.iter().filter_map(Value::as_u64).collect()),
            Some(_) => self.ports = None,
            None => {}
        }
        if let Some(Value::Array(paths)) = fields.get("paths") {
            self.paths = Some(texts(paths));
        }
        if let Some(Value::Array(allow)) = fields.get("allow") {
            self.git_fetch = !allow.is_empty();
        }
        self
    }

    /// Whether a tunnel would hide what matters.
    pub(crate) fn restrict_what_is_inside(&self) -> bool {
        self.methods.is_some() || self.paths.is_some()
    }

    /// The methods in words.
    pub(crate) fn methods_in_words(&self) -> String {
        let methods = self.methods.as_ref().map_or_else(|| "all".to_owned(), |methods| methods.join(", "));
        if self.git_fetch && self.methods.is_some() { format!("{methods}, and git fetch") } else { methods }
    }

    /// The ports in words.
    pub(crate) fn ports_in_words(&self) -> String {
        let Some(ports) = &self.ports else { return "any".to_owned() };
        ports.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The path prefixes in words.
    pub(crate) fn paths_in_words(&self) -> String {
        self.paths.as_ref().map_or_else(|| "all".to_owned(), |paths| paths.join(", "))
    }
}

/// Whether every host of `narrow` is one of `wide`.
pub(crate) fn covers(wide: &Pattern, narrow: &Pattern) -> bool {
    match (wide, narrow) {
        (Pattern::Address(wide), Pattern::Address(narrow)) => wide == narrow,
        (Pattern::Domain { name, covers: form }, Pattern::Domain { name: below, covers: narrow }) => {
            let same = name == below;
            match form {
                Covers::Both => same || is_below(below, name),
                Covers::Subdomains => same && *narrow == Covers::Subdomains || is_below(below, name),
                Covers::Apex => same && *narrow == Covers::Apex,
            }
        }
        _ => false,
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

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

fn items(list: Option<&Value>) -> &[Value] {
    list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(covers(&parse(wide), &parse(narrow)), expected, "{wide} over {narrow}");
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
            let naive = document.entries.iter().filter(|entry| covers(&entry.pattern, &pattern)).count();
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
        let of_policy: Vec<String> = document.policy.entries().map(|entry| entry.rule.to_string()).collect();
        let sorted = |mut labels: Vec<String>| {
            labels.sort();
            labels
        };
        assert_eq!(sorted(labels), sorted(of_policy));
        assert_eq!(document.presets.len(), 2);
        let a = document.limits_of(Rule { source: "allowlist", pattern: "a.com" });
        assert_eq!(a, &document.limits);
        assert_eq!(a.methods_in_words(), "GET, HEAD, OPTIONS");
        assert_eq!(a.ports_in_words(), "443");
        let b = document.limits_of(Rule { source: "allowlist", pattern: "b.com" });
        assert_eq!(
            (b.methods_in_words().as_str(), b.ports_in_words().as_str(), b.paths_in_words().as_str()),
            ("all", "any", "/v1")
        );
        assert_eq!(document.entries[2].pattern, Pattern::parse("=b.com").unwrap());
    }

    #[test]
    fn an_empty_document_is_one_too() {
        let document = Document::read(b" ").unwrap();
        assert!(document.entries.is_empty() && !document.policy.internet_access());
        assert_eq!(document.limits.ports_in_words(), "80, 443");
    }
}
