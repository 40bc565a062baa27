//! The mistakes of a policy, with the places in its file that they are about.

use std::fmt::Write as _;

use weir_policy::{Mistake, Mistakes, PatternError, PatternProblem, Problem};

use super::place::{Places, Position, syntax_error};
use crate::console::terminal::{STRONG, paint};

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
pub(crate) fn located<'m>(document: &[u8], mistakes: &'m Mistakes) -> Vec<(&'m Mistake, Option<Position>)> {
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

pub(crate) fn at(name: &str, position: Option<Position>) -> String {
    match position {
        Some(position) => format!("{name}:{position}"),
        None => name.to_owned(),
    }
}

/// The A-label of a name that is not ASCII: the plugin has no tables to find it.
pub(crate) fn instead(problem: &Problem) -> Option<String> {
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
