//! `weir filter`: what it writes, and that a mistake writes nothing. That Envoy applies the file is what `weir up` and the
//! end-to-end tests show of the same file.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use super::process::signal;
use super::up::{LIMIT, lines, wait};
use super::{Folder, run, weir};

const ON: &str = r#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#;
const MISTAKE: &str = r#"{"internet_access": "onn"}"#;

fn config(bytes: &[u8]) -> Value {
    let file: Value = serde_json::from_slice(bytes).unwrap();
    file["resources"][0]["typed_config"]["config"].clone()
}

fn policy(bytes: &[u8]) -> String {
    config(bytes)["configuration"]["value"].as_str().unwrap().to_owned()
}

#[test]
fn a_policy_becomes_a_resource_and_a_mistake_becomes_none() {
    let folder = Folder::new();
    let (good, bad) = (folder.write("good.json", ON), folder.write("bad.json", MISTAKE));
    let out = folder.0.join("filter.yaml");
    let arguments = ["filter", "--plugin", "/opt/weir.wasm", "--out", folder.0.to_str().unwrap(), "--policy"];

    let ran = run(&[&arguments[..], &[&bad]].concat(), "");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("internet_access") && ran.stderr.contains("not applied"), "{}", ran.stderr);
    assert!(!out.exists());

    let ran = run(&[&arguments[..], &[&good]].concat(), "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    let bytes = fs::read(&out).unwrap();
    assert_eq!(policy(&bytes), ON);
    assert_eq!(config(&bytes)["vm_config"]["code"]["local"]["filename"], "/opt/weir.wasm");
    // The network filter has the same plugin and policy under its own name.
    let tls = fs::read(folder.0.join("filter-tls.yaml")).unwrap();
    assert_eq!(config(&tls), config(&bytes));
    let kind =
        |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["resources"][0]["typed_config"]["@type"].clone();
    assert_eq!(kind(&bytes), "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm");
    assert_eq!(kind(&tls), "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm");
    assert!(
        config(&bytes)["capability_restriction_config"]["allowed_capabilities"]["proxy_on_request_headers"].is_object()
    );

    let ran = run(&[&arguments[..], &[&bad]].concat(), "");
    assert_eq!(ran.code, Some(2));
    assert_eq!(fs::read(&out).unwrap(), bytes);
    let ran = run(&["filter", "--out", "/nonexistent", "--policy", &good], "");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
}

#[test]
fn the_file_is_followed_however_it_is_saved() {
    let folder = Folder::new();
    let out = folder.0.join("filter.yaml");
    let mut child = weir()
        .args(["filter", "--follow", "--policy"])
        .arg(folder.0.join("policy.json"))
        .arg("--out")
        .arg(&folder.0)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = lines(child.stderr.take().unwrap());
    // At first there is no policy, then an invalid one: neither stops the command, and neither writes anything.
    let path = folder.write("policy.json", MISTAKE);
    wait(&said, "no policy was put in force", LIMIT);
    assert!(!out.exists());
    // In place, and by rename.
    fs::write(&path, ON).unwrap();
    wait(&said, "policy applied", LIMIT);
    assert_eq!(policy(&fs::read(&out).unwrap()), ON);
    let other = ON.replace("example.com", "example.org");
    fs::rename(folder.write("beside", &other), &path).unwrap();
    wait(&said, "allowlist: + example.org", LIMIT);
    assert_eq!(policy(&fs::read(&out).unwrap()), other);
    // Another invalid policy: the one in force stays.
    fs::write(&path, MISTAKE).unwrap();
    wait(&said, "the policy stays as it was", LIMIT);
    assert_eq!(policy(&fs::read(&out).unwrap()), other);
    fs::write(&path, ON).unwrap();
    wait(&said, "allowlist: + example.com", LIMIT);
    signal(child.id(), "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
