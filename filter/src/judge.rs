//! What the HTTP filter and the network filter have in common: the policy that decides, the counters and the audit
//! trail. An HTTP request and a TLS connection that are decided alike are counted and recorded alike.

use std::rc::Rc;

use log::{info, warn};
use weir_policy::{Decision, Mode, Policy, Reason, Report};

use crate::{host, metrics::Counters};

/// The filter state that an access log prints with `%FILTER_STATE(wasm.weir.decision:PLAIN)%`.
const FILTER_STATE: &str = "weir.decision";

/// The policy that was in force when a context was made, even if another replaces it meanwhile. The
/// default one refuses everything.
#[derive(Clone, Default)]
pub(crate) struct Judge {
    pub(crate) policy: Rc<Policy>,
    pub(crate) counters: Rc<Counters>,
}

impl Judge {
    /// Counts what was decided. The reason is there where the refusal has to be carried out.
    pub(crate) fn count(&self, decision: &Decision<'_>) -> Option<Reason> {
        match (decision.reason(), self.policy.mode()) {
            (None, _) => {
                self.counters.count_allowed();
                None
            }
            (Some(reason), Mode::Audit) => {
                self.counters.count_would_deny(reason);
                None
            }
            (Some(reason), Mode::Enforce) => {
                self.counters.count_denied(reason);
                Some(reason)
            }
        }
    }
}

/// Writes the audit record, and the filter state for the access log. The decision has been made by now, so a host that
/// accepts neither changes nothing.
pub(crate) fn record(report: &Report<'_>, allowed: bool) {
    let record = report.audit_record();
    if allowed {
        info!("{record}");
    } else {
        warn!("{record}");
    }
    if let Err(failure) = host::set_property(FILTER_STATE, &report.decision()) {
        warn!("weir: no filter state {FILTER_STATE}: {failure}");
    }
}
