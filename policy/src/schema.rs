//! The JSON Schema of a policy document, for editors and for checks that come before the parser's. Host only: the
//! plugin does not carry it.
//!
//! Fields, words, presets and methods come from the tables that the parser reads. A schema must never refuse what the
//! parser accepts; what it cannot say (a key that stands twice, two rules for one domain, a slip in a method) it leaves
//! to the parser.

use serde_json::{Map, Value as Json, json};

use crate::fields::{ALLOWANCES, DOCUMENT, Field, METHODS, PORTS, PRESETS, RULE, Value};
use crate::limits::{DEFAULT_PORTS, Tls};
use crate::{method, preset};

/// The JSON Schema of a policy document (draft 2020-12).
///
/// ```
/// let schema = weir_policy::json_schema();
/// assert_eq!(schema["properties"]["tls"]["enum"], serde_json::json!(["passthrough", "inspected"]));
/// ```
pub fn json_schema() -> Json {
    let mut schema = object(DOCUMENT, true);
    set(&mut schema, "$schema", json!("https://json-schema.org/draft/2020-12/schema"));
    set(&mut schema, "title", json!("Weir policy"));
    set(&mut schema, "description", json!("What an agent may reach. An empty document refuses everything."));
    set(
        &mut schema,
        "$defs",
        json!({
            "pattern": pattern(),
            "rule": rule(),
            "methods": methods(),
            "ports": ports(),
            "paths": { "type": "array", "minItems": 1, "items": { "type": "string", "pattern": path_prefix() } },
        }),
    );
    schema
}

fn set(schema: &mut Json, name: &str, value: Json) {
    if let Json::Object(members) = schema {
        members.insert(name.to_owned(), value);
    }
}

/// An object with these fields and no others. What a rule leaves out is as in the policy, so only the document has
/// `defaults`.
fn object(fields: &[Field], defaults: bool) -> Json {
    let mut properties = Map::new();
    for Field { name, value, about } in fields {
        let mut property = schema_of(value, defaults);
        set(&mut property, "description", json!(about));
        properties.insert((*name).to_owned(), property);
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn schema_of(value: &Value, defaults: bool) -> Json {
    let mut schema = match value {
        Value::Text => json!({ "type": "string" }),
        Value::Flag => json!({ "type": "boolean" }),
        Value::Word(words) => json!({ "enum": words }),
        Value::Methods => reference("methods"),
        Value::Ports => reference("ports"),
        Value::Paths => reference("paths"),
        Value::Allowances => json!({ "type": "array", "items": { "enum": ALLOWANCES } }),
        Value::Presets => {
            let names: Vec<&str> = PRESETS.iter().copied().chain(preset::all().iter().map(|it| it.name)).collect();
            json!({ "anyOf": [{ "enum": names }, { "type": "array", "items": { "enum": names } }] })
        }
        Value::Domains => {
            let entry = json!({ "if": { "type": "object" }, "then": reference("rule"), "else": reference("pattern") });
            json!({ "type": "array", "items": entry })
        }
        Value::Patterns => json!({ "type": "array", "items": reference("pattern") }),
        Value::Pattern => reference("pattern"),
        Value::Object(fields) => object(fields, defaults),
    };
    let default = match value {
        Value::Word(words) => words.first().map(|word| json!(word)),
        Value::Methods => METHODS.first().map(|word| json!(word)),
        Value::Ports => Some(json!(DEFAULT_PORTS)),
        Value::Presets => PRESETS.first().map(|word| json!(word)),
        _ => None,
    };
    if let Some(default) = default.filter(|_| defaults) {
        set(&mut schema, "default", default);
    }
    schema
}

fn reference(definition: &str) -> Json {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

fn methods() -> Json {
    let allowed: Vec<&str> = method::REGISTERED.iter().copied().filter(|&method| method != "CONNECT").collect();
    let in_any_case = |method: &str| -> String {
        let letter = |letter: char| match letter {
            'A'..='Z' => format!("[{letter}{}]", letter.to_ascii_lowercase()),
            other => other.to_string(),
        };
        method.chars().map(letter).collect()
    };
    let misspelt = method::REGISTERED.iter().map(|method| in_any_case(method)).collect::<Vec<_>>().join("|");
    let own = json!({
        "description": "A method that is not registered. It is compared byte for byte.",
        "type": "string",
        "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        "not": { "anyOf": [{ "enum": ["*", "all", "any", "read-only"] }, { "pattern": format!("^(?:{misspelt})$") }] },
    });
    let list = json!({ "type": "array", "minItems": 1, "items": { "anyOf": [{ "enum": allowed }, own] } });
    json!({ "anyOf": [{ "enum": METHODS }, list] })
}

fn ports() -> Json {
    let port = json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX });
    json!({ "anyOf": [{ "enum": PORTS }, { "type": "array", "minItems": 1, "items": port }] })
}

/// A rule, and what its fields mean for each other.
fn rule() -> Json {
    let mut rule = object(RULE, false);
    let says = |field: &str, value: Json| json!({ "required": [field], "properties": { field: { "const": value } } });
    set(&mut rule, "required", json!(["domain"]));
    set(
        &mut rule,
        "allOf",
        json!([
            {
                "if": says("subdomains", json!(true)),
                "then": { "properties": { "domain": { "not": { "pattern": format!("^=|^{}$|{}", ipv4(), ipv6()) } } } },
            },
            {
                "if": says("subdomains", json!(false)),
                "then": { "properties": { "domain": { "not": { "pattern": r"^\*" } } } },
            },
            {
                "if": says("tls", json!(Tls::Passthrough.as_str())),
                "then": { "properties": { "paths": false, "methods": { "const": "all" } } },
            },
        ]),
    );
    rule
}

/// One entry: a domain in one of its forms, or an address.
fn pattern() -> Json {
    let label = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
    // 253 bytes without a trailing dot, and a last label that is no number.
    let whole = r"(?=.{1,253}\.?$)(?!(?:.*\.)?(?:[0-9]+|0[Xx][0-9A-Fa-f]*)\.?$)";
    json!({
        "type": "string",
        "anyOf": [
            {
                "description": "example.com: the domain and its subdomains; *.example.com: its subdomains alone.",
                "pattern": format!(r"^(?:\*\*?\.)?{whole}{label}(?:\.{label})+\.?$"),
            },
            {
                "description": "=example.com: the domain alone. A single label can be written in this form only.",
                "pattern": format!(r"^={whole}{label}(?:\.{label})*\.?$"),
            },
            { "description": "An IPv4 address.", "pattern": format!("^{}$", ipv4()) },
            { "description": "An IPv6 address, in brackets or without.", "pattern": ipv6() },
        ],
    })
}

fn ipv4() -> String {
    let byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
    format!(r"{byte}(?:\.{byte}){{3}}")
}

/// The forms of RFC 3986 section 3.2.2, whole, with both brackets or none.
fn ipv6() -> String {
    let group = "[0-9A-Fa-f]{1,4}";
    let last = format!("(?:{group}:{group}|{})", ipv4());
    let mut forms = vec![format!("(?:{group}:){{6}}{last}")];
    for before in 0..=7 {
        let head = match before {
            0 => String::new(),
            groups => format!("(?:(?:{group}:){{0,{}}}{group})?", groups - 1),
        };
        let tail = match 7_usize.checked_sub(before + 2) {
            Some(groups) => format!("(?:{group}:){{{groups}}}{last}"),
            None if before == 6 => group.to_owned(),
            None => String::new(),
        };
        forms.push(format!("{head}::{tail}"));
    }
    format!(r"^(?=\[.*\]$|[^\[\]]*$)\[?(?:{})\]?$", forms.join("|"))
}

/// An absolute path in normal form, without query: no empty segment but the last, no dot segment, and encoded only what
/// cannot stand for itself.
fn path_prefix() -> &'static str {
    concat!(
        r"^(?!.*//)(?!.*/\.\.?(?:[/;]|$))/",
        r"(?:[!$&'()+,./0-9:;<=>@A-Z\[\]^_`a-z{|}~\x22-]",
        "|%(?:2[0-9A-C]|3[A-F]|40|5[BDE]|60|7[BCD]|[89A-F][0-9A-F]))*$"
    )
}
