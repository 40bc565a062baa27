//! `weir init`.

use std::fs;

use super::{Folder, run, weir};

const AGENTS: [&str; 3] = ["claude-code", "codex", "generic"];

/// The ecosystems, as the folder of presets has them.
fn ecosystems() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../presets/ecosystems");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names: Vec<String> = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names.len() >= 20, "{names:?}");
    names
}

#[test]
fn what_it_writes_passes_the_strict_check_in_every_format() {
    let folder = Folder::new();
    let mut cases: Vec<Vec<String>> = vec![vec![]];
    cases.extend(AGENTS.iter().map(|agent| vec![(*agent).to_owned()]));
    for ecosystem in ecosystems() {
        cases.extend(AGENTS.iter().map(|agent| vec![(*agent).to_owned(), ecosystem.clone()]));
        cases.push(vec![ecosystem]);
    }
    let mut files = Vec::new();
    for names in &cases {
        let mut summaries = Vec::new();
        for ending in ["jsonc", "json", "yaml"] {
            let file = folder.0.join(format!("policy-{}.{ending}", names.join("-"))).display().to_string();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let ran = run(&[&["init", "--output", &file], &names[..]].concat(), "");
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{names:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(&format!("  weir run --policy {file} --isolate -- ")), "{}", ran.stderr);
            let text = fs::read_to_string(&file).unwrap();
            assert_eq!(text.contains("`weir check` reads this file"), ending != "json", "comments: {text}");
            files.push(file.clone());
            summaries.push(run(&["check", "--json", &file], "").json()["files"][0]["summary"].clone());
        }
        assert!(summaries[0].is_object() && summaries.iter().all(|summary| *summary == summaries[0]), "{names:?}");
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let ran = run(&[&["check", "--strict"], &files[..]].concat(), "");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn an_agent_reaches_its_api_and_may_not_write_elsewhere() {
    let folder = Folder::new();
    for (agent, api) in
        [("claude-code", "https://api.anthropic.com/v1/messages"), ("codex", "https://api.openai.com/v1/responses")]
    {
        let file = folder.0.join(format!("{agent}.jsonc")).display().to_string();
        assert_eq!(run(&["init", "--agent", agent, "--ecosystem", "python", "-o", &file], "").code, Some(0));
        for (method, url, code) in [
            ("POST", api, 0),
            ("GET", "https://pypi.org/simple/", 0),
            ("POST", "https://upload.pypi.org/legacy/", 3),
            ("GET", "https://example.com/", 3),
            ("GET", "https://github.com/a/b", 3),
        ] {
            assert_eq!(
                run(&["explain", "--policy", &file, method, url], "").code,
                Some(code),
                "{agent}: {method} {url}"
            );
        }
    }
    let file = folder.0.join("forges.yaml").display().to_string();
    assert_eq!(run(&["init", "source-control", "--output", &file], "").code, Some(0));
    let fetch = ["--header", "content-type: application/x-git-upload-pack-request", "--body"];
    for (path, code) in [("git-upload-pack", 0), ("git-receive-pack", 3)] {
        let url = format!("https://github.com/a/b/{path}");
        let ran = run(&[&["explain", "--policy", &file, "POST", &url], &fetch[..]].concat(), "");
        assert_eq!(ran.code, Some(code), "{}", ran.stdout);
    }
}

#[test]
fn a_file_is_never_replaced_unasked() {
    let folder = Folder::new();
    let init = |arguments: &[&str]| weir().arg("init").args(arguments).current_dir(&folder.0).output().unwrap();
    assert_eq!(init(&["rust"]).status.code(), Some(0));
    let path = folder.0.join("weir-policy.jsonc");
    assert!(fs::read_to_string(&path).unwrap().contains("\"preset\": \"rust\""));
    fs::write(&path, "mine").unwrap();
    let ran = init(&["rust"]);
    assert_eq!(ran.status.code(), Some(1));
    assert_eq!(ran.stderr, b"error: weir-policy.jsonc exists; --force replaces it\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(init(&["go", "--force"]).status.code(), Some(0));
    assert!(fs::read_to_string(&path).unwrap().contains("\"preset\": \"go\""));
    // A link that leads nowhere is a file too.
    std::os::unix::fs::symlink("elsewhere", folder.0.join("link.json")).unwrap();
    assert_eq!(init(&["--output", "link.json"]).status.code(), Some(1));
    assert!(!folder.0.join("elsewhere").exists());
}

#[test]
fn a_name_that_is_not_known_is_a_mistake() {
    for (arguments, told) in [
        (&["init", "pascal"][..], "possible values: claude-code, codex, generic, cloud, "),
        (&["init", "--agent", "rust"], "possible values: claude-code, codex, generic]"),
        (&["init", "--ecosystem", "codex"], "invalid value 'codex'"),
        (&["init", "claude-code", "codex"], "a policy is for one agent: claude-code or codex"),
        (&["init", "--output", "policy.toml"], "name a file that ends in .jsonc, .json, .yaml or .yml"),
    ] {
        let ran = run(arguments, "");
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    let ran = run(&["init", "--output", "/nonexistent/policy.json"], "");
    assert_eq!((ran.code, ran.stderr.starts_with("error: cannot write /nonexistent/policy.json: ")), (Some(1), true));
}

#[test]
fn the_help_names_every_agent_and_ecosystem() {
    let help = run(&["init", "--help"], "").stdout;
    for name in AGENTS.iter().map(|agent| (*agent).to_owned()).chain(ecosystems()) {
        let named = help.split([' ', ',', '.', '(', ')', ':', '\n']).any(|word| word == name);
        assert!(named, "{name}: {help}");
    }
}

#[test]
fn it_can_be_printed() {
    let ran = run(&["init", "rust", "--output", "-"], "");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(run(&["check", "--strict", "-"], &ran.stdout).code, Some(0));
}
