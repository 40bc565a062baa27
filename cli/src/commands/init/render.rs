//! A new policy as text: one list of lines, which is JSON with comments or YAML by its punctuation alone.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::template::Template;
use crate::document::input::Format;

/// One line, or a few, of a policy.
enum Part {
    /// A comment.
    Note(String),
    /// A field and its value.
    Field(&'static str, Value),
    /// An item of a list.
    Item(Value),
    /// An item that is only proposed.
    Proposed(Value),
    /// A field that holds fields.
    Object(&'static str, Vec<Part>),
    /// A field that holds items.
    List(&'static str, Vec<Part>),
}

/// The text of a policy.
pub(super) fn render(template: &Template, format: Format) -> String {
    let mut text = String::new();
    let parts = parts(template);
    let mut out = Out { format, text: &mut text };
    match format {
        Format::Yaml => out.parts(&parts, 0),
        Format::Json | Format::Jsonc => {
            let head = parts.iter().take_while(|part| matches!(part, Part::Note(_))).count();
            let (head, rest) = parts.split_at(head);
            out.parts(head, 0);
            out.line(0, "{");
            out.parts(rest, 1);
            out.line(0, "}");
        }
    }
    text
}

fn parts(template: &Template) -> Vec<Part> {
    let note = |text: &str| Part::Note(text.to_owned());
    let alone = |host: &str| format!("={host}");
    // What is only proposed comes first: its comma is right as long as something follows.
    let mut domains = Vec::new();
    if template.api().is_empty() {
        domains.push(note("The API of your agent's model needs POST:"));
        domains.push(Part::Proposed(json!({"domain": "=api.example.com", "methods": "all"})));
    }
    if template.forges().is_empty() {
        domains.push(note("To clone and fetch one organization's repositories, and never push:"));
        let rule = json!({"domain": "=github.com", "paths": ["/my-org/"], "allow": ["git-fetch"]});
        domains.push(Part::Proposed(rule));
    }
    if !template.api().is_empty() {
        domains.push(note("The model's API. What the agent reads is sent here, and so is its key."));
        domains.extend(template.api().iter().map(|host| Part::Item(json!({"domain": alone(host), "methods": "all"}))));
    }
    if !template.sign_in().is_empty() {
        domains.push(note("Sign-in with an account. Remove these where an API key is used."));
        domains
            .extend(template.sign_in().iter().map(|host| Part::Item(json!({"domain": alone(host), "methods": "all"}))));
    }
    if !template.more_hosts().is_empty() {
        domains.push(note("What the presets above do not have."));
        domains.extend(template.more_hosts().iter().map(|host| Part::Item(json!(alone(host)))));
    }
    if !template.forges().is_empty() {
        domains.push(note("Clone and fetch, never push."));
        let rules = template.forges().into_iter().map(|host| json!({"domain": alone(host), "allow": ["git-fetch"]}));
        domains.extend(rules.map(Part::Item));
    }
    let presets = match template.presets().as_slice() {
        [one] => json!(one),
        presets => json!(presets),
    };
    let mut parts = vec![
        note(&template.about()),
        note("`weir check` reads this file as the plugin does; `weir explain` shows what it decides."),
        Part::Field("name", json!(template.name())),
        Part::Field("internet_access", json!("on")),
        note("Methods and paths inside https are seen only where Envoy inspects TLS."),
        Part::Field("tls", json!("inspected")),
        note("GET, HEAD and OPTIONS, except where a rule says otherwise."),
        Part::Field("methods", json!("read-only")),
        Part::Object(
            "allowlist",
            vec![
                note("Lists of domains that come with Weir. Name only the ecosystems of your project."),
                Part::Field("preset", presets),
                Part::List("domains", domains),
            ],
        ),
    ];
    if !template.refused().is_empty() {
        parts.push(note(
            "Anyone can publish here, and what the agent reads may instruct it. A refusal beats every allow.",
        ));
        parts.push(Part::Field("denylist", json!(template.refused())));
    }
    parts
}

fn is_written(part: &Part) -> bool {
    !matches!(part, Part::Note(_) | Part::Proposed(_))
}

struct Out<'t> {
    format: Format,
    text: &'t mut String,
}

impl Out<'_> {
    fn line(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{:1$}{line}", "", depth * 2);
    }

    fn parts(&mut self, parts: &[Part], depth: usize) {
        for (index, part) in parts.iter().enumerate() {
            let more = parts.get(index + 1..).unwrap_or_default();
            // After what is only proposed, another proposal counts: both may come to stand.
            let follows =
                |next: &Part| is_written(next) || matches!((part, next), (Part::Proposed(_), Part::Proposed(_)));
            let comma = if self.format != Format::Yaml && more.iter().any(follows) { "," } else { "" };
            match part {
                Part::Note(text) => self.comment(depth, text),
                Part::Proposed(item) => self.comment(depth, &format!("{}{}{comma}", self.mark(), spaced(item))),
                Part::Item(item) => self.line(depth, &format!("{}{}{comma}", self.mark(), spaced(item))),
                Part::Field(name, value) => self.line(depth, &format!("{}: {}{comma}", self.name(name), spaced(value))),
                Part::Object(name, parts) => self.enclosed(depth, name, ["{", "}"], comma, parts),
                Part::List(name, parts) => self.enclosed(depth, name, ["[", "]"], comma, parts),
            }
        }
    }

    /// What an item begins with.
    fn mark(&self) -> &'static str {
        if self.format == Format::Yaml { "- " } else { "" }
    }

    fn name(&self, name: &str) -> String {
        if self.format == Format::Yaml { name.to_owned() } else { json!(name).to_string() }
    }

    fn enclosed(&mut self, depth: usize, name: &str, [open, close]: [&str; 2], comma: &str, parts: &[Part]) {
        let name = self.name(name);
        let is_empty = !parts.iter().any(is_written);
        match self.format {
            Format::Json if is_empty => self.line(depth, &format!("{name}: {open}{close}{comma}")),
            Format::Json | Format::Jsonc => {
                self.line(depth, &format!("{name}: {open}"));
                self.parts(parts, depth + 1);
                self.line(depth, &format!("{close}{comma}"));
            }
            Format::Yaml => {
                // With comments alone below it, the field would be null.
                let name = format!("{name}:");
                if is_empty {
                    self.comment(depth, &name);
                } else {
                    self.line(depth, &name);
                }
                self.parts(parts, depth + 1);
            }
        }
    }

    fn comment(&mut self, depth: usize, text: &str) {
        match self.format {
            Format::Json => {}
            Format::Jsonc => self.line(depth, &format!("// {text}")),
            Format::Yaml => self.line(depth, &format!("# {text}")),
        }
    }
}

/// A value on one line, with the spaces that people write, and an entry's domain first.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name != "domain");
            let fields = fields.into_iter().map(|(name, value)| format!("{}: {}", json!(name), spaced(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}
