//! What an issuer did, in numbers. No name is ever in them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A reading of an issuer's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Leaves made, renewals among them.
    pub minted: u64,
    /// Leaves made again since two thirds of their life were over.
    pub renewed: u64,
    /// Names that were asked for and got nothing: not a host name, or outside the authority's name constraints.
    pub refused: u64,
    /// Leaves that could not be made: the authority has expired, say.
    pub failed: u64,
    /// Answers that Envoy did not take.
    pub rejected: u64,
    /// Leaves in the cache now.
    pub cached: u64,
    /// Streams open now: one for each Envoy with delta ADS, one for each name otherwise.
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
