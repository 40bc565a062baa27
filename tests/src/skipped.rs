//! What a machine cannot test is said aloud, and is no pass where everything has to be there.

use std::fmt::Display;
use std::io::Write;

/// Says what was not tested, why, and how to get what is missing. It goes past the test harness, which keeps to itself what
/// a test prints that passes.
///
/// # Panics
/// Where `WEIR_NO_SKIPS` is set, as in CI: a test that did not run must not look as if it had passed.
pub fn skipped(why: impl Display) {
    assert!(std::env::var_os("WEIR_NO_SKIPS").is_none(), "skipped, and WEIR_NO_SKIPS is set: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
