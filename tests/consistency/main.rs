//! Facts that appear in several files agree: address ranges, reasons, headers, filter state, ports.
//!
//! The code is the reference, and the tests compare the shipped files and the pages with it. They start nothing. A copy
//! that they do not know must fail them, so they search every file for copies instead of reading a list of places.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy treats only the test functions themselves as tests"
)]

mod ports;
mod ranges;
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;
use serde_json::Value;

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A text file, and its path in the repository.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// Its YAML documents.
    fn documents(&self) -> Vec<Value> {
        serde_saphyr::from_multiple(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    /// Every match of the first group of `pattern`.
    fn all(&self, pattern: &str) -> Vec<&str> {
        let pattern = Regex::new(pattern).expect("a pattern");
        pattern.captures_iter(&self.text).filter_map(|found| found.get(1)).map(|found| found.as_str()).collect()
    }
}

/// One file.
fn file(path: &str) -> File {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    File { path: path.to_owned(), text }
}

/// Every text file below `folder`, without the folders named `without`.
fn below(folder: &str, without: &[&str]) -> Vec<File> {
    let mut files = Vec::new();
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    for entry in entries {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let path = format!("{folder}/{name}");
        if entry.file_type().expect("a type").is_dir() {
            if !without.contains(&&*name) {
                files.extend(below(&path, without));
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(File { path, text });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// The shipped configurations with the scripts beside them, without the parts that generate them.
fn configurations() -> Vec<File> {
    let files = below("envoy", &["src", "tests", "examples", "generator", "parts", "target"]);
    assert!(files.len() > 20, "{} files in envoy/", files.len());
    files
}

/// Every page in docs/ and at the repository's root.
fn pages() -> Vec<File> {
    let mut pages = below("docs", &[]);
    pages.extend(
        fs::read_dir(root())
            .expect("the repository")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"))
            .map(|name| file(&name)),
    );
    pages.retain(|page| page.is("md"));
    assert!(pages.iter().any(|page| page.path == "README.md") && pages.len() > 5, "{} pages", pages.len());
    pages
}

/// Fails with all mistakes together.
#[track_caller]
fn assert_none(mistakes: &BTreeSet<String>) {
    let mistakes: Vec<&str> = mistakes.iter().map(String::as_str).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}
