//! The proxy-wasm plugin: reads the policy that Envoy hands it, asks [`weir_policy`] about every request, and answers
//! those that are refused. Loaded as a network filter it asks about every TLS connection that Envoy passes on without
//! inspecting it, and closes those that are refused.
//!
//! This crate only carries: from the ABI's buffers to a [`weir_policy::Request`], and from a [`weir_policy::Decision`]
//! to the host. It decides nothing itself, but for one rule: where it cannot see what the decision needs, the request
//! is refused.
//!
//! It must never trap, since that takes the worker's VM with it; never let a request go on that it is unsure about;
//! never touch a body; and call the host no more than it has to, since each call costs more than the decision.
//!
//! There is no Rust API here. Envoy calls what `abi.rs` exports, and `host.rs` calls Envoy; all else is safe code.
#![deny(unsafe_code)]

mod abi;
mod configuration;
mod host;
mod http;
mod judge;
mod log;
mod metrics;
mod network;
mod numbers;
mod pairs;
