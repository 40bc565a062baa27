//! The plugin through its real entry points, natively, on a host that is strict and that can fail.
//!
//! The case tables of `tests/data` run here too.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unused_self,
    clippy::unwrap_used,
    reason = "tests: a panic is how they fail, and a host is passed about to show that there is one"
)]

mod closed;
mod host;
mod memory;
mod network;
mod order;
mod plugin;
mod tables;
