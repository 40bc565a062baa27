//! The counters of an issuer. They must never contain a name.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A snapshot of an issuer's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Minted leaves, including renewals.
    pub minted: u64,
    /// Leaves renewed after two thirds of their life.
    pub renewed: u64,
    /// Requested names that got no certificate: not a host name, or outside the CA's name constraints.
    pub refused: u64,
    /// Leaves that could not be minted, for example because the CA has expired.
    pub failed: u64,
    /// Answers that Envoy rejected.
    pub rejected: u64,
    /// Leaves in the cache now.
    pub cached: u64,
    /// Open streams: one for each Envoy with delta ADS, otherwise one for each name.
    pub streams: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minted, renewed, refused, failed, rejected, cached, streams } = self;
        write!(
            f,
            "minted {minted} (renewed {renewed}), refused {refused}, failed {failed}, rejected {rejected}, \
             cached {cached}, streams {streams}"
        )
    }
}

/// The counters behind [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) minted: Counter,
    pub(crate) renewed: Counter,
    pub(crate) refused: Counter,
    pub(crate) failed: Counter,
    pub(crate) rejected: Counter,
    pub(crate) streams: Counter,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
