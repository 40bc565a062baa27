//! `weir check`.

use super::{Folder, run};

const GOOD: &str =
    r#"{"name": "ci", "internet_access": "on", "allowlist": {"preset": "schemas", "domains": ["example.com"]}}"#;

#[test]
fn a_good_policy_is_accepted_and_summed_up() {
    let ran = run(&["check", "-"], GOOD);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stderr, "");
    assert_eq!(
        ran.stdout,
        "accepted <stdin>
  name      ci
  internet  on
  allowed   2 domains of schemas; example.com
  methods   all
  ports     80, 443
  tls       passthrough
"
    );
}

#[test]
fn an_empty_policy_is_off() {
    let ran = run(&["check", "-"], "");
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "accepted <stdin>\n  internet  off: every request is refused\n")
    );
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let folder = Folder::new();
    let file = folder.write(
        "policy.json",
        "{\n  \"internet_acess\": \"on\",\n  \"denylist\": [\"b\u{fc}cher.example\", \"*.com\"]\n}\n",
    );
    let ran = run(&["check", &file], "");
    assert_eq!(ran.code, Some(2));
    assert_eq!(ran.stdout, "");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{}", ran.stderr);
    assert!(
        lines[0].starts_with(&format!("{file}:2:3: policy: internet_acess: unknown field; did you mean")),
        "{}",
        lines[0]
    );
    assert!(lines[1].starts_with(&format!("{file}:3:16: policy: denylist[0]: ")), "{}", lines[1]);
    assert_eq!(lines[2], "    write \"xn--bcher-kva.example\"");
    assert!(lines[3].starts_with(&format!("{file}:3:34: policy: denylist[1]: \"*.com\" would open")), "{}", lines[3]);
    assert_eq!(lines[4], format!("refused {file}: 3 mistakes; the plugin refuses this policy"));
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    let ran = run(&["check", "-"], "{\"internet_access\": \"on\",\n}");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with("<stdin>:2:1: policy: not valid JSON"), "{}", ran.stderr);
    assert_eq!(run(&["check", "-"], "\u{feff}{}").code, Some(2));
}

#[test]
fn a_warning_is_a_mistake_under_strict_alone() {
    let policy = r#"{"internet_access": "on", "allowlist": {"domains": ["example.com", "www.example.com"]}}"#;
    let ran = run(&["check", "-"], policy);
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.stderr,
        "<stdin>:1:68: warning: allowlist.domains[1]: \"www.example.com\" adds nothing: \"example.com\" (allowlist.domains[0]) covers it\n"
    );
    assert_eq!(run(&["check", "--strict", "-"], policy).code, Some(2));
    assert_eq!(run(&["check", "--strict", "-"], GOOD).code, Some(0));
}

#[test]
fn what_a_preset_opens_is_a_note_and_fails_nothing() {
    let preset = r#"{"internet_access": "on", "allowlist": {"preset": "rust"}}"#;
    let ran = run(&["check", "--strict", "-"], preset);
    assert_eq!(ran.code, Some(0));
    let note = "<stdin>:1:41: note: allowlist.preset: anyone can publish at 2 hosts of the preset \"rust\"";
    assert!(ran.stderr.starts_with(note), "{}", ran.stderr);
    let file = &run(&["check", "--json", "-"], preset).json()["files"][0];
    assert_eq!((file["warnings"].as_array().unwrap().len(), &file["notes"][0]["code"]), (0, &"shared-hosting".into()));
    let own = r#"{"internet_access": "on", "allowlist": {"domains": ["crates.io"]}}"#;
    let ran = run(&["check", "--strict", "-"], own);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains(" warning: allowlist.domains[0]: \"crates.io\" opens"), "{}", ran.stderr);
}

#[test]
fn a_note_is_short_in_words_and_whole_in_json() {
    let policy = r#"{"internet_access": "on", "allowlist": {"preset": "common-dependencies"}}"#;
    let told = run(&["check", "-"], policy).stderr;
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 5, "{told}");
    assert!(lines[1].starts_with("    anyone's packages: "), "{told}");
    let file = &run(&["check", "--json", "-"], policy).json()["files"][0];
    let kinds = file["notes"][0]["particulars"].as_array().unwrap();
    assert_eq!(lines[4], format!("    and {} kinds more: weir check --json lists them all", kinds.len() - 3));
    let all: Vec<&str> = kinds.iter().map(|kind| kind.as_str().unwrap()).collect();
    assert!(all.contains(&"anyone's texts: paste.ubuntu.com"), "{all:?}");
}

#[test]
fn several_files_are_checked_and_one_bad_one_counts() {
    let folder = Folder::new();
    let good = folder.write("good.json", GOOD);
    let bad = folder.write("bad.json", "[]");
    let missing = folder.0.join("missing.json").display().to_string();
    let ran = run(&["check", &bad, &missing, &good], "");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stdout.contains(&format!("accepted {good}")));
    assert!(ran.stderr.contains(&format!("refused {bad}")));
    assert!(ran.stderr.contains(&format!("error: cannot read {missing}")));
}

#[test]
fn json_has_everything() {
    let folder = Folder::new();
    let good = folder.write("good.json", GOOD);
    let bad = folder.write("bad.json", r#"{"ports": [0], "denylist": ["bücher.example"]}"#);
    let ran = run(&["check", "--json", &good, &bad], "");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), ""));
    let json = ran.json();
    let [good, bad] = json["files"].as_array().unwrap().as_slice() else { panic!("two files") };
    assert_eq!(good["valid"], true);
    assert_eq!(good["mistakes"].as_array().unwrap().len(), 0);
    assert_eq!(good["summary"]["presets"][0], "schemas");
    assert_eq!(good["summary"]["ports"], serde_json::json!([80, 443]));
    assert_eq!(bad["valid"], false);
    assert_eq!(bad["summary"], serde_json::Value::Null);
    assert_eq!(bad["mistakes"][0]["place"], "ports[0]");
    assert_eq!((&bad["mistakes"][0]["line"], &bad["mistakes"][0]["column"]), (&1.into(), &12.into()));
    assert_eq!(bad["mistakes"][1]["instead"], "xn--bcher-kva.example");
}
