//! Decides what an AI coding agent may reach on the internet.
//!
//! A [`Policy`] is read once from a JSON document ([`Policy::from_json`]) and then asked about every
//! [`Request`] ([`Policy::decide`]). The answer is a [`Decision`]: allow, or deny with one [`Reason`], and with the
//! [`Entry`] of the policy that decided. A [`Report`] puts a decision into words, for the client that was refused and
//! for the auditor.
//!
//! This crate is pure: no I/O, no clock, no proxy-wasm, no unsafe code. It must never panic, whatever
//! bytes a request holds, and it must never allow what it is unsure about.
//!
//! One concept a file, and no file uses one that uses it: `authority`, `pattern` and `path` parse what is compared,
//! `domain_set` is the automaton, `config` reads the document, `policy` holds the steps of the decision.
//!
//! ```
//! use weir_policy::{Decision, Policy, Reason, Request};
//!
//! let policy = Policy::from_json(br#"{
//!     "internet_access": "on",
//!     "allowlist": { "preset": "common-dependencies", "domains": ["example.com"] },
//!     "methods": "read-only"
//! }"#)?;
//!
//! let get = Request { method: b"GET", authority: b"api.github.com", ..Request::default() };
//! assert!(matches!(policy.decide(&get), Decision::Allow { .. }));
//!
//! let post = Request { method: b"POST", ..get };
//! assert_eq!(policy.decide(&post).reason(), Some(Reason::MethodNotAllowed));
//!
//! let elsewhere = Request { authority: b"evil-github.com", ..get };
//! assert_eq!(policy.decide(&elsewhere).reason(), Some(Reason::DomainNotAllowed));
//! # Ok::<(), weir_policy::Mistakes>(())
//! ```
#![forbid(unsafe_code)]

pub mod address;
mod audit;
mod authority;
mod config;
mod decision;
mod domain_set;
mod entry;
mod error;
mod fields;
mod git;
mod json;
mod labels;
mod limits;
mod lists;
mod method;
mod order;
mod path;
mod pattern;
mod place;
mod policy;
pub mod preset;
mod protobuf;
mod reader;
mod report;
mod request;
#[cfg(not(target_arch = "wasm32"))]
mod schema;
mod special_name;
mod words;

pub use audit::{Audit, AuditLog, Detail, Mode};
pub use authority::{Authority, Host, InvalidAuthority, Name};
pub use decision::{Decision, Reason};
pub use entry::{Entry, Layer};
pub use error::{Mistake, Mistakes, Problem};
pub use limits::{Limits, Ports, Tls};
pub use method::{Methods, READ_ONLY};
pub use path::PathPrefix;
pub use pattern::{Covers, Pattern, PatternError, PatternProblem};
pub use policy::{Policy, Tunnel};
pub use report::Report;
pub use request::{Request, Transport};
#[cfg(not(target_arch = "wasm32"))]
pub use schema::json_schema;
