//! What a policy allows, in a few lines.

use serde_json::{Value, json};
use weir_policy::{Layer, Limits, Methods, Mode, Ports};

use crate::console::terminal::{SHOWN, count, shortened};
use crate::document::limits;
use crate::document::policy_file::{Document, Entry};

/// The summary as lines of a name and a text.
pub(super) fn lines(document: &Document) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if !document.policy.name().is_empty() {
        lines.push(("name", document.policy.name().to_owned()));
    }
    if !document.policy.internet_access() {
        lines.push(("internet", "off: every request is refused".to_owned()));
        return lines;
    }
    lines.push(("internet", "on".to_owned()));
    lines.push(("allowed", allowed(document)));
    let rules: Vec<Entry<'_>> = document.entries_of(Layer::Allow).filter(|entry| entry.is_rule()).collect();
    for rule in rules.iter().take(SHOWN) {
        lines.push(("", format!("{}: {}", rule.text(), limits(rule.limits()))));
    }
    if rules.len() > SHOWN {
        lines.push(("", format!("and {} more rules", rules.len() - SHOWN)));
    }
    let denied: Vec<&str> = document.entries_of(Layer::Deny).map(|entry| entry.text()).collect();
    if !denied.is_empty() {
        lines.push(("refused", shortened(&denied)));
    }
    lines.push(("methods", limits::methods(document.policy.limits())));
    lines.push(("ports", limits::ports(document.policy.limits())));
    lines.push(("tls", document.policy.limits().tls.as_str().to_owned()));
    if document.policy.mode() == Mode::Audit {
        lines.push(("mode", "audit: nothing is refused".to_owned()));
    }
    lines
}

/// The same for programs.
pub(super) fn object(document: &Document) -> Value {
    let texts = |layer| document.entries_of(layer).map(|entry| entry.text().to_owned()).collect::<Vec<_>>();
    let methods = match &document.policy.limits().methods {
        Methods::All => None,
        Methods::Only(methods) => Some(methods),
    };
    let ports = match &document.policy.limits().ports {
        Ports::Any => None,
        Ports::Only(ports) => Some(ports),
    };
    json!({
        "name": document.policy.name(),
        "internet_access": document.policy.internet_access(),
        "presets": document.presets().iter().map(|(preset, _)| preset.name).collect::<Vec<_>>(),
        "preset_all": document.policy.unlisted().is_some(),
        "preset_domains": document.entries_of(Layer::Preset).count(),
        "domains": texts(Layer::Allow),
        "denylist": texts(Layer::Deny),
        "methods": methods,
        "ports": ports,
        "tls": document.policy.limits().tls.as_str(),
        "mode": document.policy.mode().as_str(),
    })
}

fn allowed(document: &Document) -> String {
    let mut parts = Vec::new();
    if document.policy.unlisted().is_some() {
        parts.push("every public host".to_owned());
    }
    for (preset, _) in document.presets() {
        parts.push(format!("{} of {}", count(preset.domains.len(), "domain", "domains"), preset.name));
    }
    let own: Vec<&str> = document.entries_of(Layer::Allow).map(|entry| entry.text()).collect();
    if !own.is_empty() {
        parts.push(shortened(&own));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
}

fn limits(limits: &Limits) -> String {
    let mut parts = vec![format!("methods {}", limits::methods(limits)), format!("ports {}", limits::ports(limits))];
    if limits.paths.is_some() {
        parts.push(format!("paths {}", limits::paths(limits)));
    }
    parts.join("; ")
}
