//! The commands, one file or folder each. What they share lies beside this folder; none uses another.

pub(crate) mod ca;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod filter;
pub(crate) mod init;
pub(crate) mod issuer;
pub(crate) mod man;
pub(crate) mod package;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod up;
