//! The HTTP context: one for each request. It looks once, asks the policy once, and tells what was
//! decided to those who have to know.
//!
//! An allowed request costs one hostcall, and one or two more where the policy depends on how it came
//! (TLS or not). A refused one is never let go on, whatever the host says
//! to the calls that follow the decision.

use log::{error, warn};
use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};
use weir_policy::{Decision, Mode, Reason, Report, Request, Tls, Transport, Tunnel};

use crate::{
    host::{self, Bytes, Failure},
    judge::{self, Judge},
    metrics, pairs,
};

/// The host of a tunnel that goes on, and whether to look into the TLS inside: what
/// `inspecting-proxy.yaml` opens it by.
const TUNNEL_STATE: &str = "weir.tunnel";
const TLS_STATE: &str = "weir.tls";
const TLS_VERSION: &str = "connection\0tls_version";
const FORBIDDEN: u16 = 403;

/// See the module.
pub(crate) struct Http {
    judge: Judge,
}

impl Http {
    /// A request that `judge` decides.
    pub(crate) fn new(judge: &Judge) -> Http {
        Http { judge: judge.clone() }
    }

    fn decide(&self, end_of_stream: bool) -> Result<Action, Failure> {
        let headers = host::request_headers()?;
        let mut pairs = pairs::decode(&headers).ok_or(Failure::WrongSize)?;
        let mut request = Request::from_headers(&mut pairs, end_of_stream);
        if !pairs.are_complete() {
            return Err(Failure::WrongSize);
        }
        let server_name = if self.judge.policy.depends_on_transport() { server_name()? } else { None };
        if let Some(server_name) = &server_name {
            request.transport = Transport::Tls { server_name };
        }
        Ok(self.answer(&request))
    }

    fn answer(&self, request: &Request<'_>) -> Action {
        let policy = &*self.judge.policy;
        let decision = self.announced(request, policy.decide(request));
        let refused = self.judge.count(&decision);
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

    /// Announces the tunnel of a CONNECT that goes on. Where nobody can be told that the policy wants
    /// its inside decided too, nobody would, so that it is refused after all.
    fn announced<'p>(&'p self, request: &Request<'_>, decision: Decision<'p>) -> Decision<'p> {
        let policy = &*self.judge.policy;
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
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.decide(end_of_stream).unwrap_or_else(|failure| {
            error!("weir: a request cannot be read, so it is decided as one without authority: {failure}");
            self.answer(&Request::default())
        })
    }
}

/// The name that the client asked for in its TLS hello; `None` when it came without TLS.
fn server_name() -> Result<Option<Bytes>, Failure> {
    match host::property(host::SERVER_NAME)? {
        Some(name) if !name.is_empty() => Ok(Some(name)),
        // Envoy shows a missing name and a missing TLS alike.
        _ => Ok(host::property(TLS_VERSION)?.map(|_| Bytes::default())),
    }
}

/// Tells those who open a tunnel what it is for; whether the host took all of it.
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

/// Answers in place of the upstream. Should that fail, the request still stops here.
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
