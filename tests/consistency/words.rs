//! Reasons, headers, filter state and counters in pages and configurations, compared with the code.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use weir_policy::Reason;

use crate::{File, assert_none, below, configurations, pages};

/// Words that look like reasons and are not.
const NO_REASON: [&str; 3] =
    // A filter of forward-proxy.yaml and its policies.
    ["not-inspected", "not-announced", "x-proxy-error"];

fn codes() -> BTreeSet<&'static str> {
    Reason::ALL.iter().map(|reason| reason.code()).collect()
}

fn everything() -> Vec<File> {
    pages().into_iter().chain(configurations()).collect()
}

/// Words in places where only a reason can be, and words in backticks that end like one.
fn named_reasons(file: &File) -> Vec<&str> {
    let word = "([a-z]+(?:-[a-z]+)+)";
    let places = [
        format!(r#"\breason=\\?"?{word}"#),
        format!(r#""reason": ?"{word}""#),
        format!(r"\bweir\.(?:denied|would_deny)\.{word}"),
        format!(r"\burn:weir:denied:{word}"),
    ];
    let mut named: Vec<&str> = places.iter().flat_map(|place| file.all(place)).collect();
    let endings: BTreeSet<_> = codes().iter().filter_map(|code| code.rsplit('-').next()).collect();
    let quoted = file.all(&format!("`{word}`"));
    named.extend(
        quoted
            .into_iter()
            .filter(|word| !word.starts_with("x-") && endings.contains(word.rsplit('-').next().unwrap_or(""))),
    );
    named
}

#[test]
fn every_reason_that_is_named_exists() {
    let (mut mistakes, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for file in everything() {
        for word in named_reasons(&file) {
            if codes().contains(word) {
                seen.insert(word.to_owned());
            } else if !NO_REASON.contains(&word) {
                mistakes.insert(format!("{}: {word} is no reason", file.path));
            }
        }
    }
    assert_none(&mistakes);
    assert!(seen.len() > 10, "{seen:?}");
}

/// Every row that begins with a reason and ends with a value of `x-proxy-error`, in any table.
#[test]
fn the_reference_lists_every_reason_with_its_proxy_error() {
    let row = Regex::new(r"(?m)^\| *`([a-z-]+)` *\|.*\| *`(blocked-by-[a-z-]+)` *\|$").expect("a pattern");
    let expected: BTreeMap<_, _> = Reason::ALL.iter().map(|reason| (reason.code(), reason.proxy_error())).collect();
    let mut tables = 0;
    for page in pages() {
        let rows: Vec<_> = row.captures_iter(&page.text).map(|found| found.extract::<2>().1).collect();
        if rows.is_empty() {
            continue;
        }
        tables += 1;
        let table: BTreeMap<_, _> = rows.iter().map(|[code, error]| (*code, *error)).collect();
        assert_eq!(table, expected, "{}", page.path);
        assert_eq!(rows.len(), expected.len(), "{} has a reason twice", page.path);
    }
    assert!(tables > 0, "no page has the table of reasons");
}

#[test]
fn every_proxy_error_that_is_named_exists() {
    let known: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.proxy_error()).collect();
    let mut mistakes = BTreeSet::new();
    for file in everything() {
        for word in file.all("(blocked-by-[a-z-]+)") {
            if !known.contains(word) {
                mistakes.insert(format!("{}: {word}", file.path));
            }
        }
    }
    assert_none(&mistakes);
}

/// Every string of the plugin that begins with `weir.` or `x-weir-`: filter state, counters, headers.
fn names_in_the_plugin(beginning: &str) -> BTreeSet<String> {
    let sources = below("filter/src", &[]);
    let pattern = format!(r#""({beginning}[a-z_.-]*[a-z_-])"#);
    sources.iter().flat_map(|file| file.all(&pattern)).map(str::to_owned).collect()
}

#[test]
fn the_filter_state_of_the_plugin_is_what_configurations_read() {
    let set = names_in_the_plugin(r"weir\.");
    let (mut mistakes, mut read) = (BTreeSet::new(), BTreeSet::new());
    for file in everything() {
        // Envoy prefixes the plugin's filter state with `wasm.`.
        for state in file.all(r"(?:FILTER_STATE\(|key: )wasm\.(weir\.[a-z_]+)") {
            read.insert(state.to_owned());
            if !set.contains(state) {
                mistakes.insert(format!("{}: the plugin sets no filter state {state}", file.path));
            }
        }
    }
    assert_none(&mistakes);
    assert_eq!(read, ["weir.decision", "weir.tls", "weir.tunnel"].map(str::to_owned).into());
}

/// Filter state that Envoy itself sets must be set in the same file.
#[test]
fn filter_state_is_set_where_it_is_read() {
    let (mut mistakes, mut compared) = (BTreeSet::new(), 0);
    for file in configurations().iter().filter(|file| file.is("yaml")) {
        let set: BTreeSet<&str> = file.all(r"\bobject_key: ([a-z_.]+)").into_iter().collect();
        let places = [r"FILTER_STATE\((weir\.[a-z_]+)", r"\bkey: (weir\.[a-z_]+)", r"string_value: (weir\.[a-z_]+)"];
        for state in places.iter().flat_map(|place| file.all(place)) {
            compared += 1;
            if !set.contains(state) {
                mistakes.insert(format!("{} reads {state} and does not set it", file.path));
            }
        }
    }
    assert_none(&mistakes);
    assert!(compared > 5, "{compared}");
}

#[test]
fn every_header_of_weir_is_one_that_the_plugin_or_the_configuration_sets() {
    let mut known = names_in_the_plugin("x-weir-");
    let files = configurations();
    known.extend(files.iter().flat_map(|file| file.all(r"header: \{key: (x-weir-[a-z-]+)")).map(str::to_owned));
    // A header that a trusted hop sets, not Weir.
    known.insert("x-weir-environment".to_owned());
    let mut mistakes = BTreeSet::new();
    for file in everything() {
        for header in file.all(r"\b(x-weir-[a-z-]*[a-z])") {
            if !known.contains(header) {
                mistakes.insert(format!("{}: {header}", file.path));
            }
        }
    }
    assert_none(&mistakes);
    assert!(known.contains("x-weir-decision") && known.contains("x-weir-client-request-id"), "{known:?}");
}

/// Headers that would override the method: the configurations remove those that the plugin refuses.
#[test]
fn method_override_headers_reach_no_origin() {
    let mut refused = BTreeSet::new();
    for sources in ["filter/src", "policy/src"] {
        for file in below(sources, &[]) {
            refused.extend(file.all(r#"b"(x-(?:http-)?method(?:-override)?)""#).into_iter().map(str::to_owned));
        }
    }
    assert!(refused.len() >= 3, "{refused:?}");
    for name in ["forward-proxy", "inspecting-proxy", "sidecar"] {
        let file = crate::file(&format!("envoy/{name}.yaml"));
        let removed: BTreeSet<_> =
            file.all(r"- remove: (x-(?:http-)?method(?:-override)?)").into_iter().map(str::to_owned).collect();
        assert_eq!(removed, refused, "{name}");
    }
}

#[test]
fn every_counter_that_is_named_exists() {
    let defined = names_in_the_plugin(r"weir\.");
    // `weir.denied.` and other prefixes of a reason.
    let families: BTreeSet<&str> = ["weir.denied", "weir.would_deny"].into();
    for family in &families {
        let source = below("filter/src", &[]);
        assert!(source.iter().any(|file| file.text.contains(&format!("\"{family}.{{reason}}\""))), "{family}");
    }
    // Files, and Envoy's own statistics, which contain the filter's name.
    let others =
        ["weir.wasm", "weir.yaml", "weir.schema", "weir.vm_reload", "weir.update_rejected", "weir.config_reload"];
    let mut mistakes = BTreeSet::new();
    for page in pages() {
        for name in page.all(r"\b(weir\.[a-z_]+)") {
            if !defined.contains(name) && !families.contains(name) && !others.contains(&name) {
                mistakes.insert(format!("{}: {name}", page.path));
            }
        }
    }
    assert_none(&mistakes);
}

/// Only type URLs and ranges may be longer: one range is on one line.
#[test]
fn configurations_fit_in_120_columns() {
    let mut mistakes = BTreeSet::new();
    for file in configurations() {
        for (at, line) in file.text.lines().enumerate() {
            if line.chars().count() > 120 && !line.contains("\"@type\": ") {
                mistakes.insert(format!("{}:{}", file.path, at + 1));
            }
        }
    }
    assert_none(&mistakes);
}
