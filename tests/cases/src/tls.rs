//! TLS connections that nobody opens, and what must be decided about them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use weir_policy::Request;

use crate::bytes::Bytes;
use crate::rule::ExpectedRule;

/// A policy and what it decides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsGroup {
    /// A stable name.
    pub id: String,
    /// What the group is about.
    pub about: String,
    /// The policy.
    pub policy: Value,
    /// The connections.
    pub cases: Vec<TlsCase>,
}

/// One connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsCase {
    /// A stable name.
    pub id: String,
    /// The name in the hello; empty for none.
    pub server_name: Bytes,
    /// The port; 0 where nobody can tell.
    #[serde(default = "https")]
    pub port: u16,
    /// `allow` or a reason's code.
    pub expect: String,
    /// The rule that the decision must name.
    #[serde(default)]
    pub rule: ExpectedRule,
    /// Ways in which the case cannot be run, and why.
    #[serde(default)]
    pub not_over: BTreeMap<String, String>,
    /// Why it must be decided so.
    pub reason: String,
}

impl TlsCase {
    /// The connection as the decision takes it.
    pub fn to_request(&self) -> Request<'_> {
        Request::tls_passthrough(&self.server_name, self.port)
    }
}

fn https() -> u16 {
    443
}
