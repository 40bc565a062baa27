use super::*;

/// The codes of the warnings about a document, with their places.
fn codes(document: &str) -> Vec<String> {
    let document = Document::read(document.as_bytes()).unwrap();
    warnings(&document).into_iter().map(|warning| format!("{} {}", warning.code, warning.place)).collect()
}

/// The same for an allowlist, with internet access.
fn of_allowlist(domains: &str) -> Vec<String> {
    codes(&format!(r#"{{"internet_access": "on", "allowlist": {{"domains": {domains}}}}}"#))
}

const NONE: [&str; 0] = [];

#[test]
fn a_plain_policy_has_no_warnings() {
    assert_eq!(of_allowlist(r#"["example.com", "*.example.org", "=a.example", "192.0.2.7"]"#), NONE);
    assert_eq!(codes("{}"), NONE);
    assert_eq!(codes(""), NONE);
}

#[test]
fn access_and_lists_have_to_fit() {
    assert_eq!(codes(r#"{"internet_access": "on"}"#), ["allows-nothing allowlist"]);
    assert_eq!(codes(r#"{"allowlist": {"domains": ["a.example"]}}"#), ["access-off internet_access"]);
    assert_eq!(
        codes(r#"{"internet_access": "off", "allowlist": {"preset": "rust"}}"#)[0],
        "access-off internet_access"
    );
    assert_eq!(codes(r#"{"internet_access": "off", "allowlist": {"preset": "none"}}"#), NONE);
}

#[test]
fn an_entry_that_adds_nothing_is_told() {
    assert_eq!(of_allowlist(r#"["a.example", "x.a.example"]"#), ["covered allowlist.domains[1]"]);
    assert_eq!(of_allowlist(r#"["*.a.example", "a.example"]"#), ["covered allowlist.domains[0]"]);
    assert_eq!(of_allowlist(r#"["=a.example", "*.a.example"]"#), NONE);
    assert_eq!(
        of_allowlist(r#"["a.example", "A.example.", "**.a.example"]"#),
        ["duplicate allowlist.domains[1]", "duplicate allowlist.domains[2]"]
    );
    let with_preset =
        r#"{"internet_access": "on", "allowlist": {"preset": "schemas", "domains": ["x.json-schema.org"]}}"#;
    assert_eq!(codes(with_preset), ["covered allowlist.domains[0]"]);
    let denied = r#"{"internet_access": "on", "denylist": ["a.example", "x.a.example"], "allowlist": {"domains": ["b.example"]}}"#;
    assert_eq!(codes(denied), ["covered denylist[1]"]);
}

#[test]
fn a_rule_with_limits_of_its_own_is_not_needless() {
    let limited = r#"{"domain": "x.a.example", "ports": [8443]}"#;
    assert_eq!(of_allowlist(&format!(r#"["a.example", {limited}]"#)), NONE);
    // This one lifts the limits of the rule above it.
    assert_eq!(of_allowlist(r#"[{"domain": "a.example", "ports": [8443]}, "x.a.example"]"#), NONE);
    assert_eq!(
        of_allowlist(r#"["a.example", {"domain": "x.a.example", "ports": [80, 443]}]"#),
        ["covered allowlist.domains[1]"]
    );
    assert_eq!(of_allowlist(&format!(r#"["x.a.example", {limited}]"#)), ["duplicate allowlist.domains[0]"]);
}

#[test]
fn a_preset_that_adds_nothing_is_told() {
    let presets = |names: &str| {
        let document = format!(r#"{{"internet_access": "on", "allowlist": {{"preset": {names}}}}}"#);
        codes(&document).into_iter().filter(|code| !code.starts_with("shared-hosting")).collect::<Vec<_>>()
    };
    assert_eq!(presets(r#"["common-dependencies", "rust"]"#), ["covered allowlist.preset[1]"]);
    assert_eq!(presets(r#"["rust", "rust"]"#), ["covered allowlist.preset[0]"]);
    assert_eq!(presets(r#"["rust", "haskell"]"#), NONE);
}

#[test]
fn the_preset_all_covers_names_but_not_special_ones() {
    let document = r#"{"internet_access": "on", "allowlist": {"preset": "all",
        "domains": ["a.example", "=localhost", "10.0.0.1", "1.1.1.1", "x.internal"]}}"#;
    assert_eq!(
        codes(document),
        ["covered allowlist.domains[0]", "covered allowlist.domains[3]", "preset-all allowlist.preset"]
    );
}

#[test]
fn the_denylist_can_hide_an_entry() {
    let document = r#"{"internet_access": "on", "denylist": ["a.example", "*.b.example"],
        "allowlist": {"domains": ["x.a.example", "b.example", "a.example"]}}"#;
    assert_eq!(codes(document), ["never-reached allowlist.domains[0]", "never-reached allowlist.domains[2]"]);
}

#[test]
fn suffixes_and_shared_hosting_are_told() {
    assert_eq!(
        of_allowlist(r#"["co.uk", "=co.uk"]"#),
        ["covered allowlist.domains[1]", "public-suffix allowlist.domains[0]"]
    );
    assert_eq!(of_allowlist(r#"["github.io"]"#), ["shared-hosting allowlist.domains[0]"]);
    assert_eq!(of_allowlist(r#"["me.github.io"]"#), NONE);
    assert_eq!(
        of_allowlist(r#"[{"domain": "raw.githubusercontent.com", "paths": ["/me/"]}]"#),
        ["https-refused allowlist.domains[0]"]
    );
    let narrowed =
        r#"{"internet_access": "on", "allowlist": {"domains": ["ubuntu.com"]}, "denylist": ["paste.ubuntu.com"]}"#;
    assert_eq!(codes(narrowed), NONE);
}

#[test]
fn wide_settings_are_told() {
    let with = |field: &str| {
        codes(&format!(r#"{{"internet_access": "on", "allowlist": {{"domains": ["a.example"]}}, {field}}}"#))
    };
    assert_eq!(with(r#""mode": "audit""#), ["audit-mode mode"]);
    assert_eq!(with(r#""ports": "any""#), ["ports-any ports"]);
    assert_eq!(with(r#""tls": "inspected", "methods": ["GET"]"#), ["tls-inspected tls"]);
    assert_eq!(with(r#""methods": "read-only""#), ["https-refused methods"]);
    assert_eq!(
        with(r#""audit": {"log": "none", "detail": "minimal"}"#),
        ["audit-off audit.log", "audit-minimal audit.detail"]
    );
}

#[test]
fn https_that_nobody_can_send_is_told_once() {
    assert_eq!(
        of_allowlist(r#"["a.example", {"domain": "b.example", "methods": ["GET"]}]"#),
        ["https-refused allowlist.domains[1]"]
    );
    let restricted = r#"{"internet_access": "on", "methods": "read-only", "allowlist": {"domains": ["a.example",
        {"domain": "b.example", "methods": "all"}, {"domain": "c.example", "methods": ["POST"]}]}}"#;
    let document = Document::read(restricted.as_bytes()).unwrap();
    let warnings = warnings(&document);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].message.contains("every https request but those to b.example"), "{}", warnings[0].message);
}
