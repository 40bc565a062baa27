//! The policy document as its author wrote it: its file and format, the places in it, its mistakes, and what is legal but
//! unwise.
//!
//! Nothing here decides a request.

pub(crate) mod argument;
pub(crate) mod input;
mod jsonc;
pub(crate) mod limits;
pub(crate) mod mistakes;
pub(crate) mod place;
pub(crate) mod policy_file;
pub(crate) mod position;
mod shared_hosting;
mod tree;
pub(crate) mod warnings;
mod yaml;
