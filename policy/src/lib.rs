//! What an AI coding agent may reach: the policy document and the decision.
//!
//! A [`Policy`] is read once from a JSON document ([`Policy::from_json`]) and then asked about every
//! request ([`Policy::decide`]). The answer is a [`Decision`]: allow, or deny with one [`Reason`].
//! A [`Report`] puts a decision into words, for the client that was refused and for the auditor.
//!
//! This crate is pure: no I/O, no clock, no proxy-wasm, no unsafe code. It must never panic, whatever
//! bytes a request holds, and it must never allow what it is unsure about.
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
mod authority;
mod config;
mod decision;
mod document;
mod domain_set;
mod error;
mod git;
mod labels;
mod lists;
mod method;
mod order;
mod path;
mod pattern;
mod policy;
pub mod preset;
mod protobuf;
mod reader;
mod report;
mod request;
mod special_name;

pub use authority::{Authority, Host, InvalidAuthority, Name};
pub use decision::{Decision, Reason, Rule};
pub use error::{Mistake, Mistakes, Problem};
pub use method::{Methods, READ_ONLY};
pub use pattern::{Covers, Pattern, PatternError, PatternProblem};
pub use policy::{Audit, AuditLog, Detail, Entry, Layer, Limits, Mode, PathPrefix, Policy, Ports, Tls, Tunnel};
pub use report::Report;
pub use request::{Request, Transport};
