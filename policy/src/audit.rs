//! What a refusal does, what leaves an audit record, and how much a refused client is told.

use crate::decision::Decision;
use crate::words::words;

words! {
    /// What a refusal does.
    pub enum Mode {
        /// The request is refused.
        Enforce = "enforce",
        /// The request goes on; the refusal that it would have met is logged and counted.
        Audit = "audit",
    }
}

/// What the auditor and the client are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Which decisions leave a record.
    pub log: AuditLog,
    /// How much a refused client is told.
    pub detail: Detail,
}

words! {
    /// Which decisions leave an audit record.
    pub enum AuditLog {
        /// Refusals.
        Denied = "denied",
        /// Every decision.
        All = "all",
        /// No decision.
        None = "none",
    }
}

impl AuditLog {
    /// Whether this decision leaves a record.
    pub fn selects(self, decision: &Decision<'_>) -> bool {
        match self {
            AuditLog::Denied => !decision.is_allowed(),
            AuditLog::All => true,
            AuditLog::None => false,
        }
    }
}

words! {
    /// How much a refused client is told.
    pub enum Detail {
        /// Reason, host, method, rule and policy.
        Full = "full",
        /// The reason's code alone.
        Minimal = "minimal",
    }
}
