//! How every command speaks and ends: what it prints, its exit code, the signals that end it.

pub(crate) mod exit;
pub(crate) mod interrupt;
pub(crate) mod output;
pub(crate) mod table;
pub(crate) mod terminal;
