//! `tests/data/envoys.json` must list the existing releases and test targets: `tests/test-envoys` depends on it, but
//! takes too long to run with every change.
#![expect(clippy::unwrap_used, reason = "clippy takes only the test functions themselves for tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_envoy::release::RELEASES;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn data() -> Value {
    serde_json::from_slice(&fs::read(root().join("tests/data/envoys.json")).unwrap()).unwrap()
}

#[test]
fn every_release_that_can_be_fetched_is_run() {
    let data = data();
    let run: Vec<&str> =
        data["envoys"].as_array().unwrap().iter().map(|envoy| envoy["version"].as_str().unwrap()).collect();
    assert_eq!(run, RELEASES.each_ref().map(|release| release.version.to_string()));
}

/// Checks targets only: the script lists the tests of each, and refuses to run if one is in no group.
#[test]
fn every_test_target_is_in_a_group() {
    let targets: BTreeSet<String> = fs::read_dir(root().join("tests/e2e"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .chain([root().join("tests/structure.rs"), root().join("tests/consistency")])
        .filter(|path| path.is_file() || path.join("main.rs").is_file())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let data = data();
    let groups = data["groups"].as_array().unwrap().iter().chain(data["apart"].as_array().unwrap());
    let patterns = groups.flat_map(|group| group["tests"].as_array().unwrap());
    let named: BTreeSet<String> =
        patterns.map(|pattern| pattern.as_str().unwrap().split("::").next().unwrap().to_owned()).collect();
    assert_eq!(named, targets, "tests/data/envoys.json names the targets on the left, and these are there");
}
