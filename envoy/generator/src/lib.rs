//! Makes the configurations in `envoy/` that people copy from the parts in `envoy/parts/`.
//!
//! `examples/configs.rs` is the tool that writes or compares them, and `cargo test` compares. Nothing that runs in
//! production depends on this crate. It has no binary, since `cargo run` alone has to mean `weir`.

mod parts;
mod ranges;

use std::fs;
use std::path::{Path, PathBuf};

pub use parts::Error;
use parts::Made;

/// What to do about a difference.
pub const REPAIR: &str = "change envoy/parts/ and run `just configs` (cargo run -p weir-configs --example configs)";

/// `envoy/`.
fn envoy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Writes what differs, and returns which files these were.
///
/// # Errors
/// A part has a mistake, or a file cannot be written.
pub fn write() -> Result<Vec<PathBuf>, Error> {
    let mut written = Vec::new();
    for Made { path, text } in parts::make(&envoy().join("parts"))? {
        let full = envoy().join(&path);
        if fs::read_to_string(&full).is_ok_and(|old| old == text) {
            continue;
        }
        fs::write(&full, text).map_err(|error| Error::File { path: full, error })?;
        written.push(path);
    }
    Ok(written)
}

/// Where files differ from what the parts make of them.
///
/// # Errors
/// A part has a mistake, or a file cannot be read.
pub fn differences() -> Result<Vec<String>, Error> {
    let mut differences = Vec::new();
    for Made { path, text } in parts::make(&envoy().join("parts"))? {
        let full = envoy().join(&path);
        let old = fs::read_to_string(&full).map_err(|error| Error::File { path: full, error })?;
        if let Some(line) = first_difference(&old, &text) {
            let at = |text: &str| text.lines().nth(line - 1).unwrap_or("(the end)").to_owned();
            differences.push(format!(
                "envoy/{}:{line} is not what envoy/parts/ makes:\n  - {}\n  + {}",
                path.display(),
                at(&old),
                at(&text)
            ));
        }
    }
    Ok(differences)
}

/// The first line, counted from 1, that differs.
fn first_difference(old: &str, new: &str) -> Option<usize> {
    let alike = || old.split('\n').zip(new.split('\n')).take_while(|(old, new)| old == new).count();
    (old != new).then(|| alike() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_what_its_parts_make() {
        let differences = differences().unwrap();
        assert!(differences.is_empty(), "{}\n{REPAIR}", differences.join("\n"));
    }

    #[test]
    fn a_difference_is_found_where_it_is() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(first_difference("a", "a\n"), Some(2));
    }
}
