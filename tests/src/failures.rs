//! Collects the failures of a table, so that one run shows all of them.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

/// The failures so far; dropping this fails the test if there are any.
#[derive(Default)]
pub struct Failures(Mutex<Vec<String>>);

impl Failures {
    /// Notes a failure of a case.
    pub fn add(&self, id: &str, what: impl Display) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{id}: {what}"));
    }

    /// Notes `what` unless `holds`.
    pub fn check(&self, id: &str, holds: bool, what: impl Display) {
        if !holds {
            self.add(id, what);
        }
    }

    /// Notes that two things differ.
    pub fn same<T: PartialEq + std::fmt::Debug>(&self, id: &str, what: &str, expected: &T, found: &T) {
        self.check(id, expected == found, format_args!("{what}: expected {expected:?}, found {found:?}"));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Failures {
    fn drop(&mut self) {
        let failures = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if std::thread::panicking() {
            eprintln!("before that:\n{}", failures.join("\n"));
            return;
        }
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    }
}
