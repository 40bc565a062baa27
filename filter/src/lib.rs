//! The proxy-wasm plugin: reads the policy that Envoy hands it, asks [`weir_policy`] about every
//! request, and answers those that are refused. Loaded as a network filter it asks about every TLS
//! connection that Envoy passes on unopened, and cuts those that are refused (`stream.rs`).
//!
//! This crate only carries: from the ABI's buffers to a [`weir_policy::Request`], and from a
//! [`weir_policy::Decision`] to the host. It decides nothing itself, but for one rule: where it
//! cannot see what the decision needs, the request is refused.
//!
//! It must never trap, since that takes the worker's VM with it; never let a request go on that it
//! is unsure about; never touch a body; and call the host no more than it has to, since each call
//! costs more than the decision.
//!
//! There is no Rust API here. The entry points are the ABI's own (`proxy_on_configure`,
//! `proxy_on_request_headers`, ...), which the SDK exports; `envoy/src/plugin.rs` says which of them
//! stay in `dist/weir.wasm`.
#![deny(unsafe_code)]
#![expect(missing_docs, reason = "the SDK's macro makes a public `_initialize`")]

mod host;
mod http;
mod judge;
mod log;
mod metrics;
mod pairs;
mod root;
mod stream;

proxy_wasm::main! {{
    log::install();
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}
