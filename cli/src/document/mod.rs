//! The policy document as its author wrote it: its file, the places in it, its mistakes, and what is legal but unwise.
//!
//! Nothing here decides a request.

pub(crate) mod input;
pub(crate) mod limits;
pub(crate) mod mistakes;
pub(crate) mod place;
pub(crate) mod policy_file;
mod shared_hosting;
pub(crate) mod warnings;
