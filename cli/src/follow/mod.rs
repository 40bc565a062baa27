//! A policy's file that is followed while something runs by it.
//!
//! The policy in force is always one that the plugin accepts: a file with mistakes changes nothing, and the mistakes are
//! told where the change was made.

mod changes;
mod watch;

use weir_envoy::Error;

use crate::console::terminal::{BAD, FAINT, GOOD, WARNING, count, paint, words};
use crate::document::policy_file::Document;
use crate::document::{mistakes, warnings};
pub(crate) use watch::{Seen, Watched};

/// Takes up what a file called `name` holds now, where the policy `old` is in force, if any is, and says what came of it.
/// `apply` puts it into force, and is called for a policy without mistakes alone. Answers with the policy where it is in force.
pub(crate) fn take_up(
    old: Option<&Document>,
    content: &[u8],
    name: &str,
    apply: impl FnOnce() -> Result<(), Error>,
) -> Option<Document> {
    let document = match Document::read(content) {
        Ok(document) => document,
        Err(mistakes) => {
            words(mistakes::in_words(content, &mistakes, name));
            let kept = if old.is_some() { "the policy stays as it was" } else { "no policy was put in force" };
            let mistakes = count(mistakes.iter().count(), "mistake", "mistakes");
            words(format_args!("{} {name}: {mistakes}; {kept}", paint(BAD, "not taken up:")));
            return None;
        }
    };
    let changes = old.map(|old| changes::changes(old, &document));
    if changes.as_ref().is_some_and(Vec::is_empty) {
        words(format_args!("{} {name} says the same in other words", paint(FAINT, "unchanged:")));
        return None;
    }
    if let Err(error) = apply() {
        words(format_args!("{} {name}: {error}", paint(BAD, "not taken up:")));
        return None;
    }
    let what = if old.is_some() { "policy changed:" } else { "policy taken up:" };
    words(format_args!("{} {name}", paint(GOOD, what)));
    for change in changes.into_iter().flatten() {
        words(format_args!("  {change}"));
    }
    Some(document)
}

/// Says that the file can no longer be read, which changes nothing.
pub(crate) fn note_gone(name: &str, error: &std::io::Error) {
    words(format_args!("{} {name} cannot be read ({error}); the policy stays", paint(WARNING, "note:")));
}

/// Says how many warnings there are; `weir check` has their text.
pub(crate) fn note_warnings(document: &Document, name: &str) {
    let warnings = warnings::warnings(document).iter().filter(|it| !it.is_note).count();
    if warnings > 0 {
        let warnings = count(warnings, "warning", "warnings");
        words(format_args!("  {} {warnings} about this policy: weir check {name}", paint(WARNING, "note:")));
    }
}
