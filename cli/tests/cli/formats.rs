//! Policies in JSON, JSON with comments and YAML, and where a command takes its policy from.

use std::fs;

use super::{Folder, run, weir};

const JSON: &str = r#"{"name": "ci", "internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#;
const JSONC: &str = "// for CI
{
  \"name\": \"ci\", /* in records */
  \"internet_access\": \"on\",
  \"allowlist\": { \"domains\": [\"example.com\"] } // one
}";
const YAML: &str = "# for CI
name: ci
internet_access: on
allowlist:
  domains: [example.com] # one
";
const FILES: [(&str, &str); 4] = [("a.json", JSON), ("a.jsonc", JSONC), ("a.yaml", YAML), ("a.yml", YAML)];

#[test]
fn one_policy_has_one_summary_and_one_decision_in_every_format() {
    let folder = Folder::new();
    let summary = run(&["check", "--json", "-"], JSON).json()["files"][0]["summary"].clone();
    for (name, text) in FILES {
        let file = folder.write(name, text);
        let ran = run(&["check", "--strict", "--json", &file], "");
        assert_eq!((ran.code, &ran.json()["files"][0]["summary"]), (Some(0), &summary), "{name}");
        assert_eq!(run(&["check", "--json", "-"], text).json()["files"][0]["summary"], summary, "{name}");
        for (url, code) in [("http://example.com/", 0), ("http://example.org/", 3)] {
            let explain = run(&["explain", "--json", "--policy", &file, "GET", url], "");
            let json = run(&["explain", "--json", "--policy", "-", "GET", url], JSON);
            assert_eq!((explain.code, explain.stdout), (Some(code), json.stdout), "{name}");
        }
    }
}

#[test]
fn envoy_gets_json_whatever_the_format() {
    let folder = Folder::new();
    for (name, text) in FILES {
        let (file, output) = (folder.write(name, text), folder.0.to_str().unwrap());
        let ran = run(&["filter", "-p", &file, "-o", output], "");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let filter: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.0.join("filter.yaml")).unwrap()).unwrap();
        let policy = &filter["resources"][0]["typed_config"]["config"]["configuration"]["value"];
        let policy: serde_json::Value = serde_json::from_str(policy.as_str().unwrap()).unwrap();
        assert_eq!(policy, serde_json::from_str::<serde_json::Value>(JSON).unwrap(), "{name}");
    }
}

#[test]
fn a_mistake_has_its_place_in_every_format() {
    let folder = Folder::new();
    for (name, text, place) in [
        ("a.json", "{\"ports\": [80, 0]}", "1:16: policy: ports[1]: "),
        ("a.jsonc", "// a\n{\"ports\": [80, /* b */ 0]}", "2:24: policy: ports[1]: "),
        ("a.jsonc", "{\"ports\": [80,],}", "1:15: policy: not valid JSON: trailing comma"),
        ("a.yaml", "# a\nports:\n  - 80\n  - 0\n", "4:5: policy: ports[1]: "),
        ("a.yaml", "ports: [80, 010]\n", "1:13: policy: ports[1]: \"010\" is a number that"),
        ("a.yaml", "ports: [80]\nports: [81]\n", "2:1: policy: ports: this field stands here twice"),
        ("a.yaml", "a: &x 1\n", "1:7: policy: a: an anchor is not read"),
        ("a.yaml", "ports: [80\n", "1:8: policy: not valid YAML: unclosed bracket"),
        ("a.json", "{} // a", "1:4: policy: not valid JSON: "),
    ] {
        let file = folder.write(name, text);
        let ran = run(&["check", &file], "");
        assert_eq!(ran.code, Some(2), "{text}");
        assert!(ran.stderr.contains(&format!("{file}:{place}")), "{text}: {}", ran.stderr);
    }
}

#[test]
fn the_variable_names_a_policy_where_no_flag_does() {
    let folder = Folder::new();
    let (good, bad) = (folder.write("good.yaml", YAML), folder.write("bad.json", "[]"));
    let check = |variable: &str, arguments: &[&str]| {
        let output = weir().arg("check").args(arguments).env("WEIR_POLICY", variable).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = check(&good, &[]);
    assert!(code == Some(0) && told.starts_with(&format!("accepted {good}\n")), "{told}");
    assert_eq!(check(&bad, &[]).0, Some(2));
    assert_eq!(check(&bad, &["--policy", &good]).0, Some(0));
    assert_eq!(check(&bad, &[&good]).0, Some(0));
    let (code, told) = check("", &[]);
    assert!(code == Some(2) && told.contains("--policy FILE") && told.contains("WEIR_POLICY"), "{told}");
}

#[test]
fn no_policy_comes_from_the_current_folder() {
    let folder = Folder::new();
    for name in ["policy.json", "policy.jsonc", "policy.yaml", "weir-policy.jsonc", "weir.json", ".weir.json"] {
        folder.write(name, JSON);
    }
    for arguments in [
        &["check"][..],
        &["explain", "GET", "http://example.com/"],
        &["run", "--", "true"],
        &["up"],
        &["filter", "--output", "."],
        &["filter", "--follow", "--output", "."],
    ] {
        let output = weir().args(arguments).current_dir(&folder.0).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert_eq!(
            told,
            "error: no policy is named: use --policy FILE, or set WEIR_POLICY to a file; `weir init` writes one to start from\n",
            "{arguments:?}"
        );
    }
    assert!(!folder.0.join("filter.yaml").exists());
}

#[test]
fn standard_input_is_not_followed() {
    for arguments in
        [&["up", "--policy", "-"][..], &["filter", "--follow", "--policy", "-", "--output", "/nonexistent"]]
    {
        let ran = run(arguments, JSON);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains("name a file, not standard input"), "{}", ran.stderr);
    }
    assert_eq!(run(&["run", "--policy", "-", "--", "true"], JSON).code, Some(2));
}
