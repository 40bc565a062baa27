//! The network face: a TLS connection that nobody opens. It is loaded as `envoy.filters.network.wasm`
//! behind `tls_inspector`, and decides by the name in the hello before a byte goes upstream.
//!
//! Envoy does not tell the plugin as what it is loaded, and gives both faces of one document the same
//! root context. The SDK wants to be told, when a context is made, which of its callbacks will follow,
//! and panics on any other. So every context is made as one of HTTP, and the callback of connections
//! is [`weir_on_new_connection`] in place of the SDK's: no configuration has to name the face, and a
//! request pays nothing for there being another one.
//!
//! Nothing here may let a connection go on by mistake. Envoy asks once, and to stop the iteration holds
//! a connection only until its next byte, unless the filter behind happens not to read: a refused
//! connection has to be closed.

use std::cell::RefCell;

use log::error;
use weir_policy::{Report, Request};

use crate::{
    host::{self, Bytes, Failure},
    judge::{self, Judge},
};

const CONNECTION_ID: &str = "connection\0id";
/// The port that `sni_dynamic_forward_proxy` will connect to, where the configuration sets it.
const UPSTREAM_PORT: &str = "filter_state\0envoy.upstream.dynamic_port";
/// The port that the client connected to; behind `original_dst` the one before the redirect.
const DESTINATION_PORT: &str = "destination\0port";

/// The ABI's `FilterStatus`.
const CONTINUE: u32 = 0;
const STOP_ITERATION: u32 = 1;

thread_local! {
    /// The context that was made last, and what decides for it. Envoy makes a connection's context
    /// right before it tells of the connection, so none but the last is ever asked for.
    static LAST: RefCell<Option<(u32, Judge)>> = const { RefCell::new(None) };
}

/// Tells of a context that may turn out to be a connection's.
pub(crate) fn created(context: u32, judge: &Judge) {
    LAST.replace(Some((context, judge.clone())));
}

/// `proxy_on_new_connection` of the ABI: the build publishes it under that name (`envoy/src/wasm.rs`),
/// which the SDK's own has here.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the name must not be mangled; nothing else has one like it")]
pub(crate) extern "C" fn weir_on_new_connection(context: u32) -> u32 {
    // Taken out: closing makes Envoy delete the context before the call returns.
    let judge = match LAST.take() {
        Some((last, judge)) if last == context => judge,
        _ => {
            error!("weir: a connection that was not announced is refused");
            Judge::default()
        }
    };
    if may_go_on(&judge) {
        return CONTINUE;
    }
    if let Err(failure) = host::close_downstream() {
        error!("weir: a refused connection cannot be closed, so the plugin stops, and Envoy closes it: {failure}");
        host::stop();
    }
    STOP_ITERATION
}

fn may_go_on(judge: &Judge) -> bool {
    let (server_name, port) = seen().unwrap_or_else(|failure| {
        error!("weir: a connection cannot be read, so it is decided as one without a name: {failure}");
        (Bytes::default(), 0)
    });
    let request = Request::tls_passthrough(&server_name, port);
    let decision = judge.policy.decide(&request);
    let refused = judge.count(&decision);
    if judge.policy.audit().log.selects(&decision) {
        let id = connection_id();
        let request = Request { id: id.as_bytes(), ..request };
        judge::record(&Report::new(&judge.policy, &request, &decision), decision.is_allowed());
    }
    refused.is_none()
}

/// The name that the hello asks for, empty where there is none, and the port, 0 where nobody can tell.
fn seen() -> Result<(Bytes, u16), Failure> {
    let server_name = host::property(host::SERVER_NAME)?.unwrap_or_default();
    let port = match host::property(UPSTREAM_PORT)? {
        Some(digits) => str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()),
        None => host::property(DESTINATION_PORT)?.and_then(|number| integer(&number)?.try_into().ok()),
    };
    Ok((server_name, port.unwrap_or_default()))
}

/// What an access log prints as `%CONNECTION_ID%`; empty where the host does not tell.
fn connection_id() -> String {
    let id = host::property(CONNECTION_ID).ok().flatten();
    id.and_then(|id| integer(&id)).map(|id| id.to_string()).unwrap_or_default()
}

/// The ABI's form of an integer property.
fn integer(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
