//! The network filter: decides a TLS connection that Envoy passes on without inspecting it. Envoy loads the module as
//! `envoy.filters.network.wasm` behind `tls_inspector`; the server name in the `ClientHello` decides, before a byte
//! goes upstream.
//!
//! No connection may go on by mistake. Envoy asks once, and `StopIteration` only delays the connection until more data
//! arrives, unless the next filter happens not to read: a refused connection has to be closed.

use log::error;
use weir_policy::{Report, Request};

use crate::{
    host::{self, Bytes, Failure},
    judge::{self, Judge},
    numbers::Action,
};

const CONNECTION_ID: &str = "connection\0id";
/// The port that `sni_dynamic_forward_proxy` will connect to, where the configuration sets it.
const UPSTREAM_PORT: &str = "filter_state\0envoy.upstream.dynamic_port";
/// The port that the client connected to; behind `original_dst` the one before the redirect.
const DESTINATION_PORT: &str = "destination\0port";

/// Decides a connection, and closes it where it is refused.
pub(crate) fn decide(judge: &Judge) -> Action {
    if may_go_on(judge) {
        return Action::Continue;
    }
    if let Err(failure) = host::close_downstream() {
        error!("weir: a refused connection cannot be closed, so the plugin stops, and Envoy closes it: {failure}");
        host::stop();
    }
    Action::Pause
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

/// The server name in the `ClientHello`, empty where there is none, and the port, 0 where it is not known.
fn seen() -> Result<(Bytes, u16), Failure> {
    let server_name = host::property(host::SERVER_NAME)?.unwrap_or_default();
    let port = match host::property(UPSTREAM_PORT)? {
        Some(digits) => str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()),
        None => host::property(DESTINATION_PORT)?.and_then(|number| integer(&number)?.try_into().ok()),
    };
    Ok((server_name, port.unwrap_or_default()))
}

/// What an access log prints as `%CONNECTION_ID%`; empty where the host has none.
fn connection_id() -> String {
    let id = host::property(CONNECTION_ID).ok().flatten();
    id.and_then(|id| integer(&id)).map(|id| id.to_string()).unwrap_or_default()
}

/// The ABI's form of an integer property.
fn integer(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
