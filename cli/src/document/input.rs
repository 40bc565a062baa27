//! Reads the policies that the command line names, in the format that they are written in; `-` is standard input.
//!
//! The plugin reads JSON alone: what is put in force is the JSON that [`Document::json`] holds. Places of mistakes are
//! those of the file as it was written.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use weir_policy::Mistakes;

use super::jsonc;
use super::mistakes::{Fault, Refused, located};
use super::place::Places;
use super::policy_file::Document;
use super::position::{Cursor, Position};
use super::tree::Node;
use super::yaml;

/// More than any policy, and little enough to hold: a mistyped path to a disk image ends here.
const MAX_BYTES: u64 = 64 << 20;

/// How a policy is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON (RFC 8259).
    Json,
    /// JSON with comments.
    Jsonc,
    /// YAML 1.2.
    Yaml,
}

impl Format {
    /// The format that a file's ending names.
    pub(crate) fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Format::Json),
            "jsonc" => Some(Format::Jsonc),
            "yaml" | "yml" => Some(Format::Yaml),
            _ => None,
        }
    }

    /// The format of a document whose name says nothing: YAML where it does not begin as JSON does, with a bracket, a
    /// quotation mark or a comment.
    fn of_content(document: &[u8]) -> Format {
        match document.trim_ascii_start() {
            [] | [b'{' | b'[' | b'"' | b'/', ..] | [0xEF, 0xBB, 0xBF, ..] => Format::Jsonc,
            _ => Format::Yaml,
        }
    }
}

/// A document, and what messages call it.
#[derive(Debug)]
pub(crate) struct Input {
    /// The path as it was given; `<stdin>` for `-`.
    pub(crate) name: String,
    format: Format,
    bytes: Vec<u8>,
}

/// A document that could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Longer than a policy can be.
    #[error("{} is longer than {} MiB, so it is not a policy", .0.display(), MAX_BYTES >> 20)]
    TooLong(PathBuf),
}

/// Reads `path` whole.
///
/// # Errors
/// Whatever the system refuses, and a document that is too long.
pub(crate) fn read(path: &Path) -> Result<Input, Unreadable> {
    let failed = |source| Unreadable::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unreadable::TooLong(path.to_owned()));
    }
    Ok(Input::new(path, bytes))
}

impl Input {
    /// What `path` holds.
    pub(crate) fn new(path: &Path, bytes: Vec<u8>) -> Input {
        let name = if path == Path::new("-") { "<stdin>".to_owned() } else { path.display().to_string() };
        let format = Format::of(path).unwrap_or_else(|| Format::of_content(&bytes));
        Input { name, format, bytes }
    }

    /// The document as it was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The policy in it.
    ///
    /// # Errors
    /// Every mistake of the document.
    pub(crate) fn document(&self) -> Result<Document, Refused> {
        match self.format {
            Format::Json => Document::read(&self.bytes).map_err(|mistakes| self.refused(&mistakes, &self.bytes)),
            Format::Jsonc => {
                let blanked = jsonc::without_comments(&self.bytes);
                let closed_up = Document::read(&jsonc::closed_up(&blanked));
                // Here every place is where it is in the file.
                let spread_out = |_| Document::read(&blanked).map_err(|mistakes| self.refused(&mistakes, &blanked));
                closed_up.or_else(spread_out)
            }
            Format::Yaml => self.yaml_document(),
        }
    }

    fn yaml_document(&self) -> Result<Document, Refused> {
        let yaml = yaml::read(&self.bytes);
        if yaml.tree.is_none() && !yaml.faults.is_empty() {
            return Err(Refused::new(yaml.faults));
        }
        let json = yaml.tree.as_ref().map(Node::to_json).unwrap_or_default();
        let read = Document::read(json.as_bytes());
        if yaml.faults.is_empty()
            && let Ok(document) = read
        {
            return Ok(document);
        }
        let places = yaml.tree.as_ref().map(Places::of).unwrap_or_default();
        // What is said of a value that could not be read is about the `null` in its place.
        let spoilt: HashSet<&str> = yaml.faults.iter().map(|fault| fault.place.as_str()).collect();
        let is_hidden = |fault: &Fault| {
            let ends = fault.place.match_indices(['.', '[']).map(|(at, _)| at).chain([fault.place.len()]);
            ends.filter_map(|end| fault.place.get(..end)).any(|above| spoilt.contains(above))
        };
        let found = read.err().map(|mistakes| located(&mistakes, &places, None)).unwrap_or_default();
        let found = found.into_iter().filter(|fault| !is_hidden(fault)).collect();
        Err(Refused::new([yaml.faults.clone(), found].concat()))
    }

    fn refused(&self, mistakes: &Mistakes, json: &[u8]) -> Refused {
        let mut faults = located(mistakes, &self.places(), syntax_error(json));
        if self.format == Format::Json && jsonc::without_comments(json) != json {
            for fault in faults.iter_mut().filter(|fault| fault.place.is_empty()) {
                fault.message.push_str("; JSON has no comments: call the file .jsonc if it is to have some");
            }
        }
        Refused::new(faults)
    }

    /// Where its values stand.
    pub(crate) fn places(&self) -> Places {
        let tree = match self.format {
            Format::Json | Format::Jsonc => str::from_utf8(&self.bytes).ok().and_then(jsonc::tree),
            Format::Yaml => yaml::read(&self.bytes).tree,
        };
        tree.as_ref().map(Places::of).unwrap_or_default()
    }
}

/// Where the plugin's parser stopped, if it stopped at all.
fn syntax_error(document: &[u8]) -> Option<Position> {
    let error = serde_json::from_slice::<serde_json::Value>(document).err()?;
    let start = match error.line() {
        0 | 1 => 0,
        line => document.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(line - 2)?.0 + 1,
    };
    let offset = start + error.column().saturating_sub(1);
    let before = String::from_utf8_lossy(document.get(..offset).unwrap_or(document));
    Some(Cursor::new(&before).position(before.len()))
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
