//! Connections under TLS passthrough, and their expected decisions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use weir_policy::Request;

use crate::bytes::Bytes;
use crate::rule::ExpectedRule;

/// A policy and its decisions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsGroup {
    /// A stable name.
    pub id: String,
    /// The subject of the group.
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
    /// The name in the `ClientHello`; empty for none.
    pub server_name: Bytes,
    /// The port; 0 if it is unknown.
    #[serde(default = "https")]
    pub port: u16,
    /// `allow` or a reason's code.
    pub expect: String,
    /// The rule that the decision must name.
    #[serde(default)]
    pub rule: ExpectedRule,
    /// The ways that cannot run the case, and why.
    #[serde(default)]
    pub not_over: BTreeMap<String, String>,
    /// Why this is the right decision.
    pub reason: String,
}

impl TlsCase {
    /// The connection as the decision receives it.
    pub fn to_request(&self) -> Request<'_> {
        Request::tls_passthrough(&self.server_name, self.port)
    }
}

fn https() -> u16 {
    443
}
