//! Reports what a machine cannot test; where everything must be available, it fails instead.

use std::fmt::Display;
use std::io::Write;

/// Reports what was not tested, why, and how to install what is missing. It bypasses the test harness, which hides the
/// output of passing tests.
///
/// # Panics
/// If `WEIR_NO_SKIPS` is set, as in CI: a skipped test must not count as passed.
pub fn skipped(why: impl Display) {
    assert!(std::env::var_os("WEIR_NO_SKIPS").is_none(), "skipped, and WEIR_NO_SKIPS is set: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
