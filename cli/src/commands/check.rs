//! `weir check`: a policy document through the plugin's own parser, and what its author should know.

mod summary;

use std::path::PathBuf;

use crate::console::exit::Exit;
use crate::console::terminal::{BAD, FAINT, GOOD, STRONG, WARNING, count, data, mistake, paint, words};
use crate::document::argument::PolicyArgument;
use crate::document::input::{self, Input};
use crate::document::mistakes::{Refused, at};
use crate::document::place::Places;
use crate::document::policy_file::Document;
use crate::document::position::Position;
use crate::document::warnings::{Warning, warnings};
use clap::Args;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  weir check policy.json
  weir check --strict policies/*.yaml       in CI: a warning fails too
  jq .spec.policy sandbox.json | weir check -
  weir check --json policy.json | jq '.files[].mistakes'
  WEIR_POLICY=policy.jsonc weir check

The format follows from the file's ending. Standard input, and a file with another ending, is JSON, with comments or \
without, where it begins with a bracket, a quotation mark or a comment of JSON, and YAML otherwise.

The summary is printed to standard output, mistakes and warnings to standard error as FILE:LINE:COLUMN. --json prints \
one object to standard output:
  {\"files\": [{\"file\", \"valid\", \"mistakes\": [{\"place\", \"line\", \"column\", \"message\", \"instead\"}],
    \"warnings\": [{\"code\", \"place\", \"line\", \"column\", \"message\", \"particulars\"}],
    \"notes\": [as warnings], \"summary\": {...}}]}

Exit code: 0 the plugin accepts every file; 2 it refuses one, a file cannot be read, or --strict and a warning. \
A note, on what a preset opens, fails nothing.";

/// Particulars of a note that are printed in words: enough to see what it is about. `--json` has all of them, and a
/// warning, which is about the author's own lines, is never shortened.
const NOTED: usize = 3;

/// Read policies as the plugin does: report every mistake, and what is legal but unwise
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    /// Policy files; - is standard input [default: the one that --policy or `WEIR_POLICY` names]
    #[arg(value_name = "FILE", conflicts_with = "policy")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgument,
    /// Treat warnings as mistakes
    #[arg(long)]
    strict: bool,
    /// Print one JSON object instead of words
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Exit {
        let paths =
            if self.files.is_empty() { self.policy.path().map(|path| vec![path]) } else { Ok(self.files.clone()) };
        paths.map_or_else(|exit| exit, |paths| self.check(&paths))
    }

    fn check(&self, paths: &[PathBuf]) -> Exit {
        let mut exit = Exit::Success;
        let mut files = Vec::new();
        for path in paths {
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
    places: Places,
    document: Result<Document, Refused>,
    warnings: Vec<Warning>,
}

impl<'i> Checked<'i> {
    fn new(input: &'i Input) -> Checked<'i> {
        let document = input.document();
        let warnings = document.as_ref().map(warnings).unwrap_or_default();
        Checked { input, places: input.places(), document, warnings }
    }

    fn print(&self) {
        let name = &self.input.name;
        match &self.document {
            Err(refused) => {
                words(refused.in_words(name));
                words(format_args!(
                    "{} {name}: {}; the plugin refuses this policy",
                    paint(BAD, "refused"),
                    refused.count()
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
            let shown = if warning.is_note { NOTED } else { usize::MAX };
            for line in warning.particulars.iter().take(shown) {
                words(format_args!("    {line}"));
            }
            if let Some(more @ 1..) = warning.particulars.len().checked_sub(shown) {
                let kinds = count(more, "kind", "kinds");
                words(format_args!("    and {kinds} more: weir check --json lists them all"));
            }
        }
    }

    fn object(&self) -> Value {
        let faults = self.document.as_ref().err().into_iter().flat_map(Refused::iter);
        let mistakes: Vec<Value> = faults
            .map(|fault| {
                json!({
                    "place": fault.place,
                    "line": fault.position.map(|it| it.line),
                    "column": fault.position.map(|it| it.column),
                    "message": fault.message,
                    "instead": fault.instead,
                })
            })
            .collect();
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
