//! From parts to files.
//!
//! Every file in `envoy/parts/` outside `shared/` is the template of the file of that path in `envoy/`. Templates are
//! text, so that comments stay where they are; a name that is not defined is an error.

use std::path::{Path, PathBuf};
use std::{fs, io};

use minijinja::{AutoEscape, Environment, State, UndefinedBehavior, context, path_loader, syntax::SyntaxConfig};

use crate::ranges;

/// Only included by other parts.
const SHARED: &str = "shared";
/// The indentation of an HTTP filter's fields, which is the same in each file.
const FILTER_DEPTH: usize = 12;
/// The longest line.
const LINE: usize = 120;

/// A file of `envoy/`, and what the parts make of it.
pub(crate) struct Made {
    /// Below `envoy/`.
    pub(crate) path: PathBuf,
    /// Its content.
    pub(crate) text: String,
}

/// Why a file cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A part of that name has a mistake.
    #[error("envoy/parts/{0}: {1:#}")]
    Template(String, minijinja::Error),
}

/// Makes every file, in the order of their paths.
pub(crate) fn make(parts: &Path) -> Result<Vec<Made>, Error> {
    let environment = environment(parts)?;
    let mut paths = Vec::new();
    collect(parts, Path::new(""), &mut paths)?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.display().to_string();
            let variables = context! { file => name.as_str(), not_public => ranges::not_public() };
            let text = environment.get_template(&name).and_then(|template| template.render(variables));
            Ok(Made { path, text: text.map_err(|error| Error::Template(name, error))? })
        })
        .collect()
}

fn environment(parts: &Path) -> Result<Environment<'static>, Error> {
    // A statement on a line of its own leaves no empty line behind.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    let syntax = syntax.map_err(|error| Error::Template(String::new(), error))?;
    let mut environment = Environment::new();
    environment.set_loader(path_loader(parts));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(syntax);
    // By their extension these templates might be escaped as JSON.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_function(
        "anchor",
        |state: &State, name: &str| {
            if is_anchor(state, name) { format!(" &{name}") } else { String::new() }
        },
    );
    environment.add_function("entry_anchor", |state: &State, name: &str| {
        if is_anchor(state, name) { format!("&{name}\n{:FILTER_DEPTH$}", "") } else { String::new() }
    });
    environment.add_filter("noted", noted);
    environment.add_filter("without_comments", without_comments);
    Ok(environment)
}

/// `text`, which begins at `column`, with a comment behind it in a column of its own. What a line has no room for goes
/// on in the next one, after a semicolon.
fn noted(text: &str, note: &str, column: usize, width: usize) -> String {
    let mut lines = vec![format!("{:column$}{text:width$} #", "")];
    for clause in note.split_inclusive("; ").map(str::trim_end) {
        let line = lines.last().map_or(0, String::len);
        if line + 1 + clause.len() > LINE {
            lines.push(format!("{:1$} #", "", column + width));
        }
        if let Some(line) = lines.last_mut() {
            *line += " ";
            *line += clause;
        }
    }
    lines.join("\n").split_off(column)
}

/// Drops comments and empty lines, from a part that a file repeats and that has its comments the first time.
fn without_comments(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    kept.fold(String::new(), |text, line| text + line + "\n")
}

/// Whether the file refers to the anchor `name`. An anchor without a reference would only puzzle a reader.
fn is_anchor(state: &State, name: &str) -> bool {
    let anchors = state.lookup("anchors").and_then(|anchors| anchors.try_iter().ok());
    anchors.into_iter().flatten().any(|anchor| anchor.as_str() == Some(name))
}

fn collect(parts: &Path, folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Error> {
    let full = parts.join(folder);
    let failed = |error| Error::File { path: full.clone(), error };
    for entry in fs::read_dir(&full).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = folder.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            if path != Path::new(SHARED) {
                collect(parts, &path, paths)?;
            }
        } else {
            paths.push(path);
        }
    }
    Ok(())
}
