//! The fields of a policy document: their names, what each holds, and what it is for.
//!
//! The parser takes from here which fields an object has, and the JSON Schema takes all of it. A field that only one of
//! the two knew would be refused or ignored; there must be no other list of them.
#![cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "the JSON Schema is made on the host alone"))]

use crate::audit::{AuditLog, Detail, Mode};
use crate::limits::Tls;
use crate::words::Word;

/// One field of an object.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    /// What it is for, for the reader of a schema.
    pub(crate) about: &'static str,
}

/// What a field holds.
pub(crate) enum Value {
    Text,
    Flag,
    /// One of these words, the default first.
    Word(&'static [&'static str]),
    Methods,
    Ports,
    Paths,
    Allowances,
    Presets,
    /// Patterns and rules.
    Domains,
    /// Patterns alone.
    Patterns,
    Pattern,
    Object(&'static [Field]),
}

const fn field(name: &'static str, value: Value, about: &'static str) -> Field {
    Field { name, value, about }
}

/// `internet_access`.
pub(crate) const INTERNET_ACCESS: &[&str] = &["off", "on"];
/// `methods`, where it is no list.
pub(crate) const METHODS: &[&str] = &["all", "read-only"];
/// `ports`, where it is no list.
pub(crate) const PORTS: &[&str] = &["any"];
/// `allow`.
pub(crate) const ALLOWANCES: &[&str] = &["git-fetch"];
/// Presets that list no domains.
pub(crate) const PRESETS: &[&str] = &["none", "all"];

const ALLOW: &str = "What is allowed beside the methods: \"git-fetch\" lets git clone and git fetch read.";

/// The whole document.
pub(crate) const DOCUMENT: &[Field] = &[
    field("$schema", Value::Text, "The JSON Schema of this document, for editors. It is ignored."),
    field(
        "internet_access",
        Value::Word(INTERNET_ACCESS),
        "Whether there is internet access at all. While it is off, every request is refused.",
    ),
    field("allowlist", Value::Object(ALLOWLIST), "The hosts that may be reached."),
    field("denylist", Value::Patterns, "Hosts that are refused, whatever the allowlist says."),
    field(
        "methods",
        Value::Methods,
        "The HTTP methods that are allowed: \"all\", \"read-only\" (GET, HEAD, OPTIONS), or a list.",
    ),
    field("ports", Value::Ports, "The ports that are allowed: \"any\", or a list; 80 and 443 where it is left out."),
    field(
        "tls",
        Value::Word(Tls::WORDS),
        "Whether Envoy forwards TLS as it is (\"passthrough\"), or terminates it so that each request inside is \
         decided too (\"inspected\").",
    ),
    field("mode", Value::Word(Mode::WORDS), "\"audit\" refuses nothing: what would be refused is logged and counted."),
    field("audit", Value::Object(AUDIT), "What leaves an audit record, and how much a refused client is told."),
    field("name", Value::Text, "The label of this policy in audit records."),
    field("allow", Value::Allowances, ALLOW),
];

/// `allowlist`.
pub(crate) const ALLOWLIST: &[Field] = &[
    field(
        "preset",
        Value::Presets,
        "A list of domains that comes with Weir, or several; \"all\" allows every public host.",
    ),
    field("domains", Value::Domains, "Domains and addresses of your own, and rules."),
];

/// `audit`.
pub(crate) const AUDIT: &[Field] = &[
    field("log", Value::Word(AuditLog::WORDS), "Which decisions leave an audit record."),
    field(
        "detail",
        Value::Word(Detail::WORDS),
        "\"minimal\" tells a refused client the reason's code and nothing else.",
    ),
];

/// A rule of `allowlist.domains`. What it does not say is as in the policy.
pub(crate) const RULE: &[Field] = &[
    field("domain", Value::Pattern, "The domain or address that the rule is for."),
    field("subdomains", Value::Flag, "false covers the domain alone, true also every subdomain."),
    field("methods", Value::Methods, "The HTTP methods that are allowed there, in place of the policy's."),
    field("ports", Value::Ports, "The ports that are allowed there, in place of the policy's."),
    field(
        "paths",
        Value::Paths,
        "Prefixes that a path must have one of, on segment boundaries, after normalisation and without the query.",
    ),
    field("allow", Value::Allowances, ALLOW),
    field(
        "tls",
        Value::Word(Tls::WORDS),
        "Whether Envoy inspects TLS to this domain, in place of the policy's \"tls\".",
    ),
];

/// The names of `fields`, computed when the crate is built: the plugin carries nothing else of the tables above.
const fn names<const N: usize>(fields: &[Field]) -> [&'static str; N] {
    let mut names = [""; N];
    let (mut rest, mut fields): (&mut [&str], _) = (&mut names, fields);
    while let (Some((name, names)), Some((field, following))) = (rest.split_first_mut(), fields.split_first()) {
        *name = field.name;
        rest = names;
        fields = following;
    }
    names
}

pub(crate) const DOCUMENT_NAMES: &[&str] = &names::<{ DOCUMENT.len() }>(DOCUMENT);
pub(crate) const ALLOWLIST_NAMES: &[&str] = &names::<{ ALLOWLIST.len() }>(ALLOWLIST);
pub(crate) const AUDIT_NAMES: &[&str] = &names::<{ AUDIT.len() }>(AUDIT);
pub(crate) const RULE_NAMES: &[&str] = &names::<{ RULE.len() }>(RULE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    /// `null` is a value of no field, so a field that the parser reads has a mistake there.
    fn is_read(document: &str, place: &str) -> bool {
        let mistakes = Policy::from_json(document.as_bytes()).expect_err("a mistake");
        mistakes.iter().any(|mistake| mistake.place == place && mistake.problem.to_string().contains("null"))
    }

    #[test]
    fn the_parser_reads_every_field() {
        for Field { name, .. } in DOCUMENT {
            assert!(is_read(&format!(r#"{{"{name}": null}}"#), name), "{name}");
        }
        for (object, fields) in [("allowlist", ALLOWLIST), ("audit", AUDIT)] {
            for Field { name, .. } in fields {
                let document = format!(r#"{{"{object}": {{"{name}": null}}}}"#);
                assert!(is_read(&document, &format!("{object}.{name}")), "{object}.{name}");
            }
        }
        for Field { name, .. } in RULE {
            let domain = if *name == "domain" { "" } else { r#""domain": "a.example", "# };
            let document = format!(r#"{{"allowlist": {{"domains": [{{{domain}"{name}": null}}]}}}}"#);
            assert!(is_read(&document, &format!("allowlist.domains[0].{name}")), "{name}");
        }
    }

    #[test]
    fn a_field_stands_once_and_has_words() {
        for fields in [DOCUMENT, ALLOWLIST, AUDIT, RULE] {
            for (index, field) in fields.iter().enumerate() {
                assert!(field.about.ends_with('.'), "{}", field.name);
                assert!(fields[index + 1..].iter().all(|other| other.name != field.name), "{}", field.name);
            }
        }
    }
}
