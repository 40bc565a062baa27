//! What a policy may say and its author hardly means: legal, and unwise, without effect, or wider
//! than it looks. The plugin accepts all of it; these are words of `weir check` alone.

use std::cmp::Reverse;

use psl::Type;
use weir_policy::{AuditLog, Detail, Layer, Limits, Mode, Pattern, Policy, Ports, Request};

use super::shared_hosting::{self, Hit};
use crate::console::terminal::{count, shortened};
use crate::document::policy_file::{Document, Entry};

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// Stable name for scripts.
    pub(crate) code: &'static str,
    /// The path of the value.
    pub(crate) place: String,
    /// What to know about it.
    pub(crate) message: String,
    /// Particulars, one line each.
    pub(crate) particulars: Vec<String>,
    /// Whether it is only worth knowing: it is about a preset's own domains or about the proxy, not about
    /// what the author wrote.
    pub(crate) is_note: bool,
}

/// Every warning about `document`, and every note.
pub(crate) fn warnings(document: &Document) -> Vec<Warning> {
    let mut found = Found { document, warnings: Vec::new() };
    found.access();
    found.unreached_entries();
    found.needless_entries();
    found.needless_presets();
    found.suffixes();
    found.shared_hosting();
    found.wide_settings();
    found.refused_https();
    found.audit();
    found.warnings
}

struct Found<'d> {
    document: &'d Document,
    warnings: Vec<Warning>,
}

impl Found<'_> {
    fn warn(&mut self, code: &'static str, place: &str, message: impl Into<String>) {
        self.warn_of(code, place, message, Vec::new());
    }

    fn warn_of(&mut self, code: &'static str, place: &str, message: impl Into<String>, particulars: Vec<String>) {
        let (place, message) = (place.to_owned(), message.into());
        self.warnings.push(Warning { code, place, message, particulars, is_note: false });
    }

    fn note(&mut self, code: &'static str, place: &str, message: impl Into<String>, particulars: Vec<String>) {
        let (place, message) = (place.to_owned(), message.into());
        self.warnings.push(Warning { code, place, message, particulars, is_note: true });
    }

    fn access(&mut self) {
        let allows = self.document.policy.unlisted().is_some() || self.allowing().next().is_some();
        if self.document.policy.internet_access() && !allows {
            self.warn("allows-nothing", "allowlist", "nothing is on the allowlist, so every request is refused");
        } else if !self.document.policy.internet_access() && allows {
            self.warn(
                "access-off",
                "internet_access",
                "internet access is off, so the allowlist has no effect; write \"internet_access\": \"on\" if it is meant",
            );
        }
    }

    /// Entries of the allowlist that the denylist covers.
    fn unreached_entries(&mut self) {
        let document = self.document;
        for entry in document.entries_of(Layer::Allow) {
            if let Some(denied) = self.denied_by(entry.pattern) {
                let message = format!(
                    "\"{}\" is never reached: \"{}\" ({}) covers it",
                    entry.text(),
                    denied.text(),
                    denied.place()
                );
                self.warn("never-reached", &entry.place(), message);
            }
        }
    }

    /// Entries without which the policy would decide alike.
    fn needless_entries(&mut self) {
        let document = self.document;
        for layer in [Layer::Deny, Layer::Allow] {
            for entry in document.entries_of(layer) {
                if layer == Layer::Allow && self.denied_by(entry.pattern).is_some() {
                    continue;
                }
                let twin = document
                    .covering(layer, entry.pattern)
                    .into_iter()
                    .filter(|other| other.pattern == entry.pattern)
                    .min_by_key(|other| !other.is_rule())
                    .filter(|other| other.place() != entry.place());
                if let Some(twin) = twin {
                    let message = if twin.is_rule() {
                        format!("\"{}\" has no effect: {} is a rule for the same hosts", entry.text(), twin.place())
                    } else {
                        format!("\"{}\" covers what {} covers already; keep one", entry.text(), twin.place())
                    };
                    self.warn("duplicate", &entry.place(), message);
                } else if let Some(wider) = self.governor_without(entry)
                    && (layer == Layer::Deny || wider.limits() == entry.limits())
                {
                    let message = format!("\"{}\" adds nothing: {} covers it", entry.text(), named(wider));
                    self.warn("covered", &entry.place(), message);
                } else if layer == Layer::Allow && self.open_to_all(entry) {
                    let message = format!("\"{}\" adds nothing: the preset \"all\" covers it", entry.text());
                    self.warn("covered", &entry.place(), message);
                }
            }
        }
    }

    /// The entry that would govern every host of `entry` if that were not there.
    fn governor_without(&self, entry: Entry<'_>) -> Option<Entry<'_>> {
        let narrowest = |layer| {
            self.document
                .covering(layer, entry.pattern)
                .into_iter()
                .filter(|other| other.pattern != entry.pattern || other.layer() != entry.layer())
                .max_by_key(|other| (name_of(other.pattern).len(), other.pattern != entry.pattern, other.is_rule()))
        };
        match entry.layer() {
            Layer::Deny => narrowest(Layer::Deny),
            _ => narrowest(Layer::Allow).or_else(|| narrowest(Layer::Preset)),
        }
    }

    /// Whether the preset `all` is there, opens the hosts of `entry`, and allows there what it does.
    fn open_to_all(&self, entry: Entry<'_>) -> bool {
        self.document.policy.unlisted().is_some()
            && *entry.limits() == *self.document.policy.limits()
            && self.governor_without(entry).is_none()
            && Policy::from_json(br#"{"internet_access": "on", "allowlist": {"preset": "all"}}"#).is_ok_and(|all| {
                let host = match entry.pattern {
                    Pattern::Domain { name, .. } => name.clone(),
                    Pattern::Address(address) if address.is_ipv6() => format!("[{address}]"),
                    Pattern::Address(address) => address.to_string(),
                };
                all.decide(&Request { method: b"GET", authority: host.as_bytes(), ..Request::default() }).is_allowed()
            })
    }

    fn needless_presets(&mut self) {
        let document = self.document;
        let presets = document.presets();
        let mut needless: Vec<usize> = Vec::new();
        for (index, (preset, place)) in presets.iter().enumerate() {
            let others: Vec<_> =
                presets.iter().enumerate().filter(|(other, _)| *other != index && !needless.contains(other)).collect();
            let covered = preset.domains.iter().all(|domain| {
                let Ok(pattern) = Pattern::parse(domain) else { return false };
                let mut domains = others.iter().flat_map(|(_, (other, _))| other.domains);
                domains.any(|wider| Pattern::parse(wider).is_ok_and(|wider| wider.covers(&pattern)))
            });
            if covered {
                needless.push(index);
                let message = format!("the preset \"{}\" adds nothing: the others cover its domains", preset.name);
                self.warn("covered", place, message);
            }
        }
    }

    /// Own entries that open a public suffix of a registry. Those of a company are shared hosting.
    fn suffixes(&mut self) {
        let document = self.document;
        for entry in document.entries_of(Layer::Allow) {
            if shared_hosting::suffix_of(entry.pattern) == Some(Type::Icann) {
                let message = format!(
                    "\"{}\" is a public suffix: anyone can register a domain under it; name the domains that are meant",
                    entry.text()
                );
                self.warn("public-suffix", &entry.place(), message);
            }
        }
    }

    fn shared_hosting(&mut self) {
        let document = self.document;
        for entry in document.entries_of(Layer::Allow) {
            let hits = self.opened_to_anyone(entry);
            if !hits.is_empty() {
                let message =
                    format!("\"{}\" opens what anyone can publish or set up; narrow it if you can", entry.text());
                self.warn_of("shared-hosting", &entry.place(), message, by_kind(&hits));
            }
        }
        let mut seen: Vec<Hit> = Vec::new();
        for (preset, place) in &document.presets() {
            let mut hits = Vec::new();
            for entry in document.entries_of(Layer::Preset).filter(|entry| entry.source() == preset.name) {
                for hit in self.opened_to_anyone(entry) {
                    if !seen.contains(&hit) {
                        seen.push(hit.clone());
                        hits.push(hit);
                    }
                }
            }
            if !hits.is_empty() {
                let message = format!(
                    "anyone can publish at {} of the preset \"{}\"; put what is not needed on the denylist",
                    count(hits.len(), "host", "hosts"),
                    preset.name
                );
                self.note("shared-hosting", place, message, by_kind(&hits));
            }
        }
    }

    /// What `entry` opens to anyone, unless its own paths keep to a part of it, or all that it adds to what a preset opens
    /// is git-fetch.
    fn opened_to_anyone(&self, entry: Entry<'_>) -> Vec<Hit> {
        let usual = self.document.policy.limits();
        let fetches_alone =
            entry.is_rule() && Limits { git_fetch: usual.git_fetch, ..entry.limits().clone() } == *usual;
        let is_open = || !self.document.covering(Layer::Preset, entry.pattern).is_empty();
        if entry.limits().paths.is_some() || fetches_alone && is_open() {
            return Vec::new();
        }
        shared_hosting::hits(entry.pattern, |host| self.denied_by(host).is_some())
    }

    fn wide_settings(&mut self) {
        if let Some(all) = self.document.policy.unlisted() {
            let place = all.place();
            self.warn(
                "preset-all",
                &place,
                "every public host is allowed; an agent that was talked into it can send anything anywhere",
            );
        }
        if self.document.policy.limits().ports == Ports::Any {
            self.warn(
                "ports-any",
                "ports",
                "every port of an allowed host can be reached, those of mail and remote shells too",
            );
        }
        if self.document.policy.inspects() {
            self.note(
                "tls-inspected",
                "tls",
                "this needs an Envoy that inspects TLS: those of `weir run`, `weir up` and inspecting-proxy.yaml do; \
                 forward-proxy.yaml refuses such tunnels, and another proxy may pass them without checking what is inside",
                Vec::new(),
            );
        }
    }

    /// Restrictions that no tunnel can satisfy while TLS is not inspected.
    fn refused_https(&mut self) {
        let document = self.document;
        let limited = document.policy.limits().refuse_tunnels();
        let is = if document.policy.mode() == Mode::Audit { "would be" } else { "is" };
        if limited
            && (document.policy.unlisted().is_some()
                || self.allowing().any(|entry| *entry.limits() == *document.policy.limits()))
        {
            let free: Vec<&str> = document
                .entries_of(Layer::Allow)
                .filter(|entry| !entry.limits().refuse_tunnels())
                .map(|entry| entry.text())
                .collect();
            let but = if free.is_empty() { String::new() } else { format!(" but those to {}", shortened(&free)) };
            self.warn(
                "https-refused",
                "methods",
                format!(
                    "methods are restricted and \"tls\" is \"passthrough\": every https request{but} {is} refused with \
                     tunnel-not-inspected, since a tunnel would hide its method"
                ),
            );
        }
        for rule in document
            .entries_of(Layer::Allow)
            .filter(|entry| entry.is_rule() && *entry.limits() != *document.policy.limits())
        {
            if !rule.limits().refuse_tunnels() || limited && rule.limits().paths.is_none() {
                continue;
            }
            let what = if rule.limits().paths.is_some() { "paths" } else { "methods" };
            self.warn(
                "https-refused",
                &rule.place(),
                format!(
                    "the {what} of \"{}\" are restricted and \"tls\" is \"passthrough\": every https request to it {is} refused \
                     with tunnel-not-inspected, since a tunnel would hide them",
                    rule.text()
                ),
            );
        }
    }

    fn audit(&mut self) {
        let policy = &self.document.policy;
        let (mode, audit) = (policy.mode(), policy.audit());
        if mode == Mode::Audit {
            self.warn("audit-mode", "mode", "nothing is refused: what would be is only logged and counted");
        }
        if audit.log == AuditLog::None {
            self.warn("audit-off", "audit.log", "no decision leaves an audit record");
        }
        if audit.detail == Detail::Minimal && mode == Mode::Enforce {
            self.warn(
                "audit-minimal",
                "audit.detail",
                "a refused agent learns the reason's code and not what to do about it",
            );
        }
    }

    fn allowing(&self) -> impl Iterator<Item = Entry<'_>> {
        self.document.entries().filter(|entry| entry.layer() != Layer::Deny)
    }

    fn denied_by(&self, pattern: &Pattern) -> Option<Entry<'_>> {
        self.document.covering(Layer::Deny, pattern).first().copied()
    }
}

/// The hosts on a line for each kind of thing that anyone can put there, the kinds with most hosts first.
fn by_kind(hits: &[Hit]) -> Vec<String> {
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for hit in hits {
        match kinds.iter_mut().find(|(what, _)| *what == hit.what) {
            Some((_, hosts)) => hosts.push(&hit.host),
            None => kinds.push((hit.what, vec![&hit.host])),
        }
    }
    kinds.sort_by_key(|(_, hosts)| Reverse(hosts.len()));
    kinds.iter().map(|(what, hosts)| format!("{what}: {}", hosts.join(", "))).collect()
}

fn name_of(pattern: &Pattern) -> &str {
    match pattern {
        Pattern::Domain { name, .. } => name,
        Pattern::Address(_) => "",
    }
}

fn named(entry: Entry<'_>) -> String {
    match entry.layer() {
        Layer::Preset => format!("\"{}\" of the preset \"{}\"", entry.text(), entry.source()),
        _ => format!("\"{}\" ({})", entry.text(), entry.place()),
    }
}

#[cfg(test)]
#[path = "warnings_tests.rs"]
mod tests;
