//! The settings of an issuer.

use std::time::Duration;

/// The settings of an issuer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a leaf is valid from its minting; it is renewed after two thirds of that. A CA that expires earlier
    /// shortens it.
    pub leaf_life: Duration,
    /// How many leaves the cache keeps for later streams; the least recently used one is dropped first.
    pub cached: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { leaf_life: Duration::from_hours(24), cached: 10_000 }
    }
}
