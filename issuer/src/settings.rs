//! What can be set of an issuer.

use std::time::Duration;

/// What can be set of an issuer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a leaf is valid from the moment it is minted; it is renewed after two thirds of that. A certificate
    /// authority that ends before cuts it short.
    pub leaf_life: Duration,
    /// How many leaves are kept for the next stream that asks; the least recently used one is dropped first.
    pub cached: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { leaf_life: Duration::from_hours(24), cached: 10_000 }
    }
}
