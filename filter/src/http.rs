//! The HTTP filter: reads a request once, asks the policy once, and reports what was decided.
//!
//! An allowed request costs one hostcall, and one or two more where the policy depends on its transport (TLS or not). A
//! refused one never goes on, whatever the host answers to the calls that follow the decision.

use log::{error, warn};
use weir_policy::{Decision, Mode, Policy, Reason, Report, Request, Tls, Transport, Tunnel};

use crate::{
    host::{self, Bytes, Failure},
    judge::{self, Judge},
    metrics,
    numbers::Action,
    pairs,
};

/// The host of a tunnel that goes on, and whether the TLS inside is inspected: `inspecting-proxy.yaml` opens it by
/// these.
const TUNNEL_STATE: &str = "weir.tunnel";
const TLS_STATE: &str = "weir.tls";
const TLS_VERSION: &str = "connection\0tls_version";
const FORBIDDEN: u16 = 403;

/// Decides a request and answers it where it is refused. `end_of_stream`: nothing follows the headers.
pub(crate) fn decide(judge: &Judge, end_of_stream: bool) -> Action {
    read_and_answer(judge, end_of_stream).unwrap_or_else(|failure| {
        error!("weir: a request cannot be read, so it is decided as one without authority: {failure}");
        answer(judge, &Request::default())
    })
}

fn read_and_answer(judge: &Judge, end_of_stream: bool) -> Result<Action, Failure> {
    let headers = host::request_headers()?;
    let mut pairs = pairs::decode(&headers).ok_or(Failure::WrongSize)?;
    let mut request = Request::from_headers(&mut pairs, end_of_stream);
    if !pairs.are_complete() {
        return Err(Failure::WrongSize);
    }
    let server_name = if judge.policy.depends_on_transport() { server_name()? } else { None };
    if let Some(server_name) = &server_name {
        request.transport = Transport::Tls { server_name };
    }
    Ok(answer(judge, &request))
}

fn answer(judge: &Judge, request: &Request<'_>) -> Action {
    let policy = &*judge.policy;
    let decision = announced(policy, request, policy.decide(request));
    let refused = judge.count(&decision);
    let recorded = policy.audit().log.selects(&decision);
    if refused.is_none() && !recorded {
        return Action::Continue;
    }
    let report = Report::new(policy, request, &decision);
    if recorded {
        judge::record(&report, decision.is_allowed());
    }
    match refused {
        Some(reason) => refuse(&report, reason),
        None => Action::Continue,
    }
}

/// Announces the tunnel of a CONNECT that goes on. A tunnel that has to be inspected and cannot be announced is refused
/// after all: it would be opened without inspection.
fn announced<'p>(policy: &'p Policy, request: &Request<'_>, decision: Decision<'p>) -> Decision<'p> {
    if !decision.is_allowed() && policy.mode() == Mode::Enforce {
        return decision;
    }
    match policy.tunnel(request) {
        Some(tunnel) if !announce(&tunnel) && tunnel.tls == Tls::Inspected && decision.is_allowed() => {
            Decision::Deny { reason: Reason::TunnelNotInspected, entry: decision.entry() }
        }
        _ => decision,
    }
}

/// The server name in the client's TLS `ClientHello`; `None` when the request came without TLS.
fn server_name() -> Result<Option<Bytes>, Failure> {
    match host::property(host::SERVER_NAME)? {
        Some(name) if !name.is_empty() => Ok(Some(name)),
        // Envoy shows a missing name and a missing TLS alike.
        _ => Ok(host::property(TLS_VERSION)?.map(|_| Bytes::default())),
    }
}

/// Sets the filter state that a tunnel is opened by; whether the host accepted all of it.
fn announce(tunnel: &Tunnel) -> bool {
    let tls = match tunnel.tls {
        Tls::Passthrough => "passthrough",
        Tls::Inspected => "inspected",
    };
    [(TUNNEL_STATE, tunnel.host.as_str()), (TLS_STATE, tls)].into_iter().all(|(state, value)| {
        host::set_property(state, value)
            .inspect_err(|failure| warn!("weir: no filter state {state}: {failure}"))
            .is_ok()
    })
}

/// Answers in place of the upstream. If that fails, the request still stops here.
fn refuse(report: &Report<'_>, reason: Reason) -> Action {
    let headers = pairs::encode(&[
        ("x-weir-decision", &report.header()),
        ("x-proxy-error", reason.proxy_error()),
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
    ]);
    let details = metrics::denied(reason);
    if let Err(failure) = host::send_response(FORBIDDEN, &details, &headers, &report.problem()) {
        error!("weir: a refused request gets no answer: {failure}");
    }
    Action::Pause
}
