//! `examples/policies/`: `weir check` accepts each of them, and each decides what its README says that it is for.
//!
//! Every file of the folder counts, whatever its format, so that none can be added without being tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::run;

const FORMATS: [&str; 4] = ["json", "jsonc", "yaml", "yml"];

/// A policy, a request, and the reason for which it is refused; empty where it is allowed.
const DECISIONS: [(&str, &str, &str, &str); 29] = [
    ("air-gapped.json", "GET", "https://pypi.org/simple/", "access-off"),
    ("audit-first.json", "POST", "https://evil.example/", ""),
    ("python-readonly.json", "GET", "https://files.pythonhosted.org/packages/a.whl", ""),
    ("python-readonly.json", "POST", "https://upload.pypi.org/legacy/", "method-not-allowed"),
    ("python-readonly.json", "GET", "https://example.com/", "domain-not-allowed"),
    ("node-build.json", "GET", "https://registry.npmjs.org/left-pad", ""),
    ("node-build.json", "POST", "https://registry.npmjs.org/-/npm/v1/security/audits/quick", ""),
    ("node-build.json", "PUT", "https://registry.npmjs.org/left-pad", "method-not-allowed"),
    ("node-build.json", "POST", "https://github.com/a/b/issues", "method-not-allowed"),
    ("rust-build.json", "GET", "https://index.crates.io/se/rd/serde", ""),
    ("rust-build.json", "GET", "https://static.rust-lang.org/dist/channel-rust-stable.toml", ""),
    ("rust-build.json", "PUT", "https://crates.io/api/v1/crates/new", "method-not-allowed"),
    ("docs-research.jsonc", "GET", "https://example.com/", ""),
    ("docs-research.jsonc", "POST", "https://example.com/", "method-not-allowed"),
    ("docs-research.jsonc", "GET", "https://abc.webhook.site/", "domain-denied"),
    ("docs-research.jsonc", "GET", "http://169.254.169.254/", "ip-literal"),
    ("github-fetch-only.json", "GET", "https://github.com/my-org/a/info/refs?service=git-upload-pack", ""),
    ("github-fetch-only.json", "POST", "https://github.com/my-org/a/git-receive-pack", "method-not-allowed"),
    ("github-fetch-only.json", "GET", "https://github.com/other/a", "path-not-allowed"),
    ("internal-registry.json", "GET", "https://packages.corp.internal:8443/npm/left-pad", ""),
    ("internal-registry.json", "GET", "https://other.corp.internal/", "special-name"),
    ("internal-registry.json", "GET", "https://registry.npmjs.org/left-pad", "domain-not-allowed"),
    ("claude-code-agent.jsonc", "POST", "https://api.anthropic.com/v1/messages", ""),
    ("claude-code-agent.jsonc", "POST", "https://api.github.com/gists", "method-not-allowed"),
    ("claude-code-agent.jsonc", "GET", "https://gist.github.com/a/b", "domain-denied"),
    ("claude-code-agent.jsonc", "POST", "https://evil.example/", "domain-not-allowed"),
    ("codex-agent.yaml", "POST", "https://api.openai.com/v1/responses", ""),
    ("codex-agent.yaml", "GET", "https://gist.github.com/a/b", "domain-denied"),
    ("codex-agent.yaml", "POST", "https://evil.example/", "domain-not-allowed"),
];

#[test]
fn weir_check_accepts_every_example() {
    let mut refused = Vec::new();
    for file in examples() {
        let ran = run(&["check", file.to_str().expect("a name")], "");
        if ran.code != Some(0) {
            refused.push(format!("{}: {}", file.display(), ran.stderr));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn the_readme_names_every_example() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("the README");
    let missing: Vec<PathBuf> = examples()
        .into_iter()
        .filter(|file| {
            let name = file.file_name().expect("a name").to_string_lossy();
            !readme.contains(&format!("[{name}]({name})"))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_example_decides_what_it_is_for() {
    let mut wrong = Vec::new();
    for (name, method, url, reason) in DECISIONS {
        let policy = folder().join(name);
        let ran = run(&["explain", "--policy", policy.to_str().expect("a name"), "--json", method, url], "");
        let code = if reason.is_empty() { 0 } else { 3 };
        let decided = reason.is_empty() || ran.stdout.contains(&format!("\"{reason}\""));
        if ran.code != Some(code) || !decided {
            wrong.push(format!("{name}: {method} {url}: {:?} {}{}", ran.code, ran.stdout, ran.stderr));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    let decided: BTreeSet<&str> = DECISIONS.iter().map(|(name, ..)| *name).collect();
    let names = examples().into_iter().map(|file| file.file_name().expect("a name").to_string_lossy().into_owned());
    assert_eq!(decided.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), names.collect());
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").join("examples/policies")
}

/// Every file of the folder but its README. One whose ending no command reads fails the test.
fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").path());
    let examples: Vec<PathBuf> = entries.filter(|file| !file.ends_with("README.md")).collect();
    for file in &examples {
        let ending = file.extension().unwrap_or_default().to_string_lossy().into_owned();
        assert!(FORMATS.contains(&ending.as_str()), "{}: no format of a policy", file.display());
    }
    assert!(examples.len() >= 10, "only {} examples", examples.len());
    examples
}
