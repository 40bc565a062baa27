//! `weir check`: a policy document through the plugin's own parser, and what its author should know.

mod shared_hosting;
mod summary;
pub(crate) mod warnings;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use weir_policy::{Mistake, Mistakes, PatternError, PatternProblem, Problem};

use crate::document::Document;
use crate::exit::Exit;
use crate::input::{self, Input};
use crate::place::{Places, Position, syntax_error};
use crate::terminal::{BAD, FAINT, GOOD, STRONG, WARNING, count, data, mistake, paint, words};
use warnings::{Warning, warnings};

const EXAMPLES: &str = "\
Examples:
  weir check policy.json
  weir check --strict policies/*.json       in CI: a warning fails too
  jq .spec.policy sandbox.json | weir check -
  weir check --json policy.json | jq '.files[].mistakes'

The summary is printed to standard output, mistakes and warnings to standard error as
FILE:LINE:COLUMN. --json prints one object to standard output:
  {\"files\": [{\"file\", \"valid\", \"mistakes\": [{\"place\", \"line\", \"column\", \"message\", \"instead\"}],
    \"warnings\": [{\"code\", \"place\", \"line\", \"column\", \"message\", \"particulars\"}],
    \"notes\": [as warnings], \"summary\": {...}}]}

Exit code: 0 the plugin accepts every file; 2 it refuses one, a file cannot be read, or --strict and a warning.
A note, on what a preset opens, fails nothing.";

/// Read policies as the plugin does: every mistake, and what is legal but unwise
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    /// Policy documents (JSON); - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Take warnings for mistakes
    #[arg(long)]
    strict: bool,
    /// Print one JSON object instead of words
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Exit {
        let mut exit = Exit::Success;
        let mut files = Vec::new();
        for path in &self.files {
            let input = match input::read(path) {
                Ok(input) => input,
                Err(unreadable) => {
                    mistake(unreadable);
                    exit = Exit::Mistake;
                    continue;
                }
            };
            let checked = Checked::new(&input);
            if checked.document.is_err() || self.strict && checked.warnings.iter().any(|it| !it.is_note) {
                exit = Exit::Mistake;
            }
            if self.json {
                files.push(checked.object());
            } else {
                checked.print();
            }
        }
        if self.json {
            data(format_args!("{:#}", json!({ "files": files })));
        }
        exit
    }
}

/// One file that was checked.
struct Checked<'i> {
    input: &'i Input,
    places: Places<'i>,
    document: Result<Document, Mistakes>,
    warnings: Vec<Warning>,
}

impl<'i> Checked<'i> {
    fn new(input: &'i Input) -> Checked<'i> {
        let document = Document::read(&input.bytes);
        let warnings = document.as_ref().map(warnings).unwrap_or_default();
        Checked { input, places: Places::find(&input.bytes), document, warnings }
    }

    fn print(&self) {
        let name = &self.input.name;
        match &self.document {
            Err(mistakes) => {
                words(in_words(&self.input.bytes, mistakes, name));
                words(format_args!(
                    "{} {name}: {}; the plugin refuses this policy",
                    paint(BAD, "refused"),
                    count(mistakes.iter().count(), "mistake", "mistakes")
                ));
            }
            Ok(document) => {
                data(format_args!("{} {name}", paint(GOOD, "accepted")));
                for (field, text) in summary::lines(document) {
                    data(format_args!("  {} {text}", paint(FAINT, format_args!("{field:9}"))));
                }
            }
        }
        for warning in &self.warnings {
            let position = self.position_of(warning);
            let (style, word) = if warning.is_note { (FAINT, "note:") } else { (WARNING, "warning:") };
            words(format_args!(
                "{}: {} {}: {}",
                paint(STRONG, at(name, position)),
                paint(style, word),
                warning.place,
                warning.message
            ));
            for line in &warning.particulars {
                words(format_args!("    {line}"));
            }
        }
    }

    fn object(&self) -> Value {
        let mistakes: Vec<Value> = match &self.document {
            Ok(_) => Vec::new(),
            Err(mistakes) => located(&self.input.bytes, mistakes)
                .into_iter()
                .map(|(mistake, position)| {
                    json!({
                        "place": mistake.place,
                        "line": position.map(|it| it.line),
                        "column": position.map(|it| it.column),
                        "message": mistake.problem.to_string(),
                        "instead": instead(&mistake.problem),
                    })
                })
                .collect(),
        };
        let remarks = |are_notes: bool| -> Vec<Value> {
            let remarks = self.warnings.iter().filter(|it| it.is_note == are_notes);
            remarks.map(|warning| self.object_of(warning)).collect()
        };
        json!({
            "file": self.input.name,
            "valid": self.document.is_ok(),
            "mistakes": mistakes,
            "warnings": remarks(false),
            "notes": remarks(true),
            "summary": self.document.as_ref().ok().map(summary::object),
        })
    }

    fn object_of(&self, warning: &Warning) -> Value {
        let position = self.position_of(warning);
        json!({
            "code": warning.code,
            "place": warning.place,
            "line": position.map(|it| it.line),
            "column": position.map(|it| it.column),
            "message": warning.message,
            "particulars": warning.particulars,
        })
    }

    /// The place of a warning; of the document where the field that it is about was left out.
    fn position_of(&self, warning: &Warning) -> Option<Position> {
        self.places.key(&warning.place, 0).or_else(|| self.places.value(""))
    }
}

/// Every mistake on a line of its own, with its place in the file.
pub(crate) fn in_words(document: &[u8], mistakes: &Mistakes, name: &str) -> String {
    let mut text = String::new();
    for (mistake, position) in located(document, mistakes) {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = write!(text, "{}: {mistake}", paint(STRONG, at(name, position)));
        if let Some(instead) = instead(&mistake.problem) {
            let _ = write!(text, "\n    write {instead:?}");
        }
    }
    text
}

/// The mistakes with the places in the file that they are about.
fn located<'m>(document: &[u8], mistakes: &'m Mistakes) -> Vec<(&'m Mistake, Option<Position>)> {
    let places = Places::find(document);
    let mut located: Vec<_> = mistakes
        .iter()
        .map(|mistake| {
            let place = mistake.place.as_str();
            let position = match &mistake.problem {
                Problem::Syntax { .. } => syntax_error(document),
                Problem::UnknownField { .. } | Problem::DuplicateField => places.key(place, mistake.occurrence),
                _ => places.value(place),
            };
            (mistake, position)
        })
        .collect();
    located.sort_by_key(|(_, position)| position.map(|it| (it.line, it.column)));
    located
}

fn at(name: &str, position: Option<Position>) -> String {
    match position {
        Some(position) => format!("{name}:{position}"),
        None => name.to_owned(),
    }
}

/// The A-label of a name that is not ASCII: the plugin has no tables to find it.
fn instead(problem: &Problem) -> Option<String> {
    let Problem::Pattern(PatternError { entry, problem: PatternProblem::NotAscii }) = problem else { return None };
    let name = entry.trim_start_matches(['*', '.', '=']);
    let prefix = entry.strip_suffix(name)?;
    let ascii = idna::domain_to_ascii(name).ok()?;
    // What idna maps may be more than letters: only what the plugin would take is worth writing.
    let instead = format!("{prefix}{ascii}");
    weir_policy::Pattern::parse(&instead).is_ok().then_some(instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(document: &str, nth: usize) -> String {
        let mistakes = Document::read(document.as_bytes()).unwrap_err();
        let located = located(document.as_bytes(), &mistakes);
        located[nth].1.map(|position| position.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_mistake_has_its_place_in_the_file() {
        assert_eq!(position("{\n \"allowlst\": {}}", 0), "2:2");
        assert_eq!(position("{\"methods\": [\"GET\",\n  \"get\"]}", 0), "2:3");
        assert_eq!(position("{\"name\": \"a\", \"name\": \"b\",\n \"name\": 3}", 0), "1:15");
        assert_eq!(position("{\"name\": \"a\", \"name\": \"b\",\n \"name\": 3}", 1), "2:2");
        assert_eq!(position("{\"a\": 1, \"a\": 2}", 1), "1:10");
        assert_eq!(position("{\"ports\": [80,\n]}", 0), "2:1");
        assert_eq!(position("[]", 0), "1:1");
        assert_eq!(position("{\"allowlist\": {\"domains\": [{}]}}", 0), "1:28");
    }

    #[test]
    fn a_name_beyond_ascii_is_told_its_a_label() {
        let instead_of = |entry: &str| {
            let document = serde_json::json!({"denylist": [entry]}).to_string();
            instead(&Document::read(document.as_bytes()).unwrap_err().iter().next().unwrap().problem)
        };
        assert_eq!(instead_of("*.b\u{fc}cher.example").as_deref(), Some("*.xn--bcher-kva.example"));
        assert_eq!(instead_of("=\u{65e5}\u{672c}.example").as_deref(), Some("=xn--wgv71a.example"));
        assert_eq!(instead_of("\u{ff45}xample.com").as_deref(), Some("example.com"));
        assert_eq!(instead_of("a\u{200b}\u{ad}.\u{fffd}").as_deref(), None);
        assert_eq!(instead_of("*.com"), None);
    }
}
