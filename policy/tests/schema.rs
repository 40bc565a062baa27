//! The JSON Schema says what the parser says: it accepts every policy of the tables that is accepted, and refuses every
//! other one, but for those that no schema can.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};

/// Refused policies that the schema accepts, and why it has to.
const BEYOND: &[(&str, &[&str])] = &[
    (
        "a reader of JSON hands over one of two equal keys",
        &[
            "duplicate-allowlist",
            "duplicate-by-escape",
            "duplicate-denylist",
            "duplicate-in-allowlist",
            "duplicate-in-allowlist-domains",
            "duplicate-in-audit",
            "duplicate-in-rule",
            "duplicate-in-rule-methods",
            "duplicate-internet-access",
            "duplicate-internet-access-equal",
            "duplicate-methods",
            "duplicate-schema",
        ],
    ),
    (
        "a schema does not compare one entry with another",
        &[
            "rule-twice-address",
            "rule-twice-case",
            "rule-twice-dot",
            "rule-twice-double-star",
            "rule-twice-equal",
            "rule-twice-exact",
            "rule-twice-mapped",
            "rule-twice-same",
        ],
    ),
    ("a schema does not know what a rule takes over from the policy", &["rule-tls-hides-the-policys-methods"]),
    (
        "methods of one's own are allowed, and a schema does not measure how near one is to a registered one",
        &[
            "method-typo-delet",
            "method-typo-gett",
            "method-typo-haed",
            "method-typo-option",
            "method-typo-pathc",
            "method-typo-pots",
            "method-typo-psot",
            "method-typo-putt",
            "rule-methods-typo",
        ],
    ),
];

fn validator() -> Validator {
    jsonschema::draft202012::new(&weir_policy::json_schema()).expect("a schema of draft 2020-12")
}

/// The document as an editor reads it: blank is empty, and what is no JSON is no value.
fn value(document: &[u8]) -> Option<Value> {
    if document.iter().all(u8::is_ascii_whitespace) { Some(json!({})) } else { serde_json::from_slice(document).ok() }
}

#[test]
fn it_is_a_schema() {
    let schema = weir_policy::json_schema();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
}

#[test]
fn it_accepts_what_the_parser_accepts() {
    let validator = validator();
    let mut documents: Vec<(String, Value)> = Vec::new();
    for case in weir_cases::accepted_policies() {
        documents.push((case.id.clone(), value(&case.document).expect("JSON")));
    }
    for group in weir_cases::decisions() {
        documents.extend(value(&group.document()).map(|document| (group.id.clone(), document)));
    }
    for group in weir_cases::tls() {
        documents.push((group.id.clone(), group.policy.clone()));
    }
    assert!(documents.len() > 100, "{}", documents.len());
    for (id, document) in documents {
        let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{id}: {errors:#?}");
    }
}

#[test]
fn it_refuses_what_the_parser_refuses() {
    let validator = validator();
    let accepted: BTreeSet<String> = weir_cases::refused_policies()
        .into_iter()
        .filter(|case| value(&case.document).is_some_and(|document| validator.is_valid(&document)))
        .map(|case| case.id)
        .collect();
    let beyond: BTreeSet<String> = BEYOND.iter().flat_map(|(_, ids)| *ids).map(|&id| id.to_owned()).collect();
    assert_eq!(accepted, beyond);
}
