//! A policy's file that is followed while something runs by it.
//!
//! The policy in force is always one that the plugin accepts: a file with mistakes changes nothing, and the mistakes are
//! reported where the change was made.

mod changes;
mod watch;

use weir_envoy::Error;

use crate::console::terminal::{BAD, FAINT, GOOD, WARNING, count, paint, words};
use crate::document::input::Input;
use crate::document::policy_file::Document;
use crate::document::warnings;
pub(crate) use watch::{Seen, Watched};

/// Applies what a file holds now, where the policy `old` is in force, if any is, and reports what came of it.
/// `put_in_force` is called for a policy without mistakes alone. Answers with the policy where it is in force.
pub(crate) fn apply(
    old: Option<&Document>,
    input: &Input,
    put_in_force: impl FnOnce(&Document) -> Result<(), Error>,
) -> Option<Document> {
    let name = &input.name;
    let document = match input.document() {
        Ok(document) => document,
        Err(refused) => {
            words(refused.in_words(name));
            let kept = if old.is_some() { "the policy stays as it was" } else { "no policy was put in force" };
            words(format_args!("{} {name}: {}; {kept}", paint(BAD, "not applied:"), refused.count()));
            return None;
        }
    };
    let changes = old.map(|old| changes::changes(old, &document));
    if changes.as_ref().is_some_and(Vec::is_empty) {
        words(format_args!("{} {name} decides as before", paint(FAINT, "unchanged:")));
        return None;
    }
    if let Err(error) = put_in_force(&document) {
        words(format_args!("{} {name}: {error}", paint(BAD, "not applied:")));
        return None;
    }
    let what = if old.is_some() { "policy changed:" } else { "policy applied:" };
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
