//! The mistakes of a policy, with the places in its file that they are about.
//!
//! Most come from the plugin's parser. The few that only a format has (an anchor of YAML) look the same.

use std::fmt::Write as _;

use weir_policy::{Mistakes, PatternError, PatternProblem, Problem};

use super::place::Places;
use super::position::Position;
use crate::console::terminal::{STRONG, count, paint};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The path of the value; empty for the document.
    pub(crate) place: String,
    /// Where that is in the file.
    pub(crate) position: Option<Position>,
    /// What is wrong there.
    pub(crate) message: String,
    /// What to write instead, where that is known.
    pub(crate) instead: Option<String>,
}

impl Fault {
    pub(super) fn new(place: &str, position: Position, message: &str) -> Fault {
        Fault { place: place.to_owned(), position: Some(position), message: message.to_owned(), instead: None }
    }
}

/// Why a policy was refused: its mistakes, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(super) Vec<Fault>);

impl Refused {
    pub(super) fn new(mut faults: Vec<Fault>) -> Refused {
        faults.sort_by_key(|fault| fault.position);
        Refused(faults)
    }

    /// The mistakes.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// `1 mistake`, `2 mistakes`.
    pub(crate) fn count(&self) -> String {
        count(self.0.len(), "mistake", "mistakes")
    }

    /// Every mistake on a line of its own, with its place in the file.
    pub(crate) fn in_words(&self, name: &str) -> String {
        let mut text = String::new();
        for fault in &self.0 {
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = write!(text, "{}: policy: ", paint(STRONG, at(name, fault.position)));
            if !fault.place.is_empty() {
                let _ = write!(text, "{}: ", fault.place);
            }
            text.push_str(&fault.message);
            if let Some(instead) = &fault.instead {
                let _ = write!(text, "\n    write {instead:?}");
            }
        }
        text
    }
}

/// What the plugin's parser found, with its places in the file.
pub(super) fn located(mistakes: &Mistakes, places: &Places, syntax: Option<Position>) -> Vec<Fault> {
    let located = mistakes.iter().map(|mistake| {
        let place = mistake.place.as_str();
        let position = match &mistake.problem {
            Problem::Syntax { .. } => syntax,
            Problem::UnknownField { .. } | Problem::DuplicateField => places.key(place, mistake.occurrence),
            _ => places.value(place),
        };
        let message = mistake.problem.to_string();
        Fault { place: place.to_owned(), position, message, instead: instead(&mistake.problem) }
    });
    located.collect()
}

/// `FILE:LINE:COLUMN`.
pub(crate) fn at(name: &str, position: Option<Position>) -> String {
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
    use crate::document::policy_file::Document;

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
