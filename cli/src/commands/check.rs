//! `weir check`: a policy document through the plugin's own parser, and what its author should know.

mod summary;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use weir_policy::Mistakes;

use crate::console::exit::Exit;
use crate::console::terminal::{BAD, FAINT, GOOD, STRONG, WARNING, count, data, mistake, paint, words};
use crate::document::input::{self, Input};
use crate::document::mistakes::{at, in_words, instead, located};
use crate::document::place::{Places, Position};
use crate::document::policy_file::Document;
use crate::document::warnings::{Warning, warnings};

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
