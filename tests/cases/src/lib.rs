//! The case tables of `tests/data`, typed: one set of cases, run natively, on wasm32, through the
//! filter's entry points on a fake host, and through real Envoy. The tables are embedded, so that
//! they are there on wasm32 too.
//!
//! Each case says in `reason` why it must come out so, and in `not_over` which way cannot express it.
#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::panic,
    reason = "a table that cannot be read fails its test"
)]

mod attack;
mod bytes;
mod hello;
mod request;
mod rule;
mod tls;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

pub use attack::Attack;
pub use bytes::Bytes;
pub use hello::{Hello, HelloCase};
pub use request::{Framing, OVERRIDES, RequestCase};
pub use rule::ExpectedRule;
pub use tls::{TlsCase, TlsGroup};

/// A table: what it is about, and its cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table<T> {
    /// What the table is about.
    pub about: String,
    /// Its cases, or groups of cases.
    #[serde(alias = "groups")]
    pub cases: Vec<T>,
}

/// One authority and what it must be read as.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityCase {
    /// A stable name.
    pub id: String,
    /// The bytes of `:authority`.
    pub input: Bytes,
    /// What it is.
    pub expect: AuthorityExpectation,
    /// Ways in which the case cannot be run, and why.
    #[serde(default)]
    pub not_over: BTreeMap<String, String>,
    /// Cases of the survey, by their ids, that this one is too: see `survey.json`.
    #[serde(default)]
    pub survey: Vec<String>,
    /// Why.
    pub reason: String,
}

/// What an authority must be read as.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum AuthorityExpectation {
    /// `"invalid"`.
    Invalid(String),
    /// A host and a port.
    Valid {
        /// `name`, `address` or `numeric`.
        kind: String,
        /// The host in its normal form.
        host: Bytes,
        /// The port that is written.
        port: Option<u16>,
    },
}

/// A policy and what it decides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionGroup {
    /// A stable name.
    pub id: String,
    /// What the group is about.
    #[serde(default)]
    pub about: String,
    /// The policy as a JSON value.
    policy: Option<Value>,
    /// The policy exactly as it is.
    policy_text: Option<Bytes>,
    /// The requests.
    pub cases: Vec<DecisionCase>,
}

impl DecisionGroup {
    /// The policy document.
    pub fn document(&self) -> Vec<u8> {
        match (&self.policy, &self.policy_text) {
            (Some(policy), None) => policy.to_string().into_bytes(),
            (None, Some(text)) => text.to_vec(),
            _ => panic!("{}: one of policy and policy_text", self.id),
        }
    }
}

/// One request and what must be decided.
#[derive(Debug, Deserialize)]
pub struct DecisionCase {
    /// A stable name.
    pub id: String,
    /// The request.
    #[serde(flatten)]
    pub request: RequestCase,
    /// `allow` or a reason's code.
    pub expect: String,
    /// The rule that the decision must name.
    #[serde(default)]
    pub rule: ExpectedRule,
    /// Ways in which the case cannot be run, and why.
    #[serde(default)]
    pub not_over: BTreeMap<String, String>,
    /// Cases of the survey, by their ids, that this one is too: see `survey.json`.
    #[serde(default)]
    pub survey: Vec<String>,
    /// Why it must be decided so.
    pub reason: String,
}

/// A document that must be refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedPolicy {
    /// A stable name.
    pub id: String,
    /// The document.
    pub document: Bytes,
    /// Every mistake that must be reported.
    pub mistakes: Vec<ExpectedMistake>,
    /// More mistakes may be reported.
    #[serde(default)]
    pub at_least: bool,
    /// What no message may hold, such as a line break.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// Cases of the survey, by their ids, that this one is too: see `survey.json`.
    #[serde(default)]
    pub survey: Vec<String>,
    /// Why.
    pub reason: String,
}

/// A mistake that must be reported.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedMistake {
    /// Where; `None` where it is not compared.
    pub place: Option<String>,
    /// What the message holds; what begins with a quote is compared exactly, other words without
    /// regard to case.
    pub contains: Vec<String>,
}

impl ExpectedMistake {
    /// Whether a mistake with this place and message is the expected one.
    pub fn is(&self, place: &str, message: &str) -> bool {
        let folded = message.to_lowercase();
        let holds = |part: &String| {
            if part.starts_with('"') { message.contains(part) } else { folded.contains(&part.to_lowercase()) }
        };
        self.place.as_deref().is_none_or(|expected| expected == place) && self.contains.iter().all(holds)
    }
}

/// A document that must be accepted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedPolicy {
    /// A stable name.
    pub id: String,
    /// The document.
    pub document: Bytes,
    /// Another document that decides every request alike.
    pub same_as: Option<Bytes>,
    /// Why.
    pub reason: String,
}

/// `tests/data/authorities.json`.
pub fn authorities() -> Vec<AuthorityCase> {
    read("authorities.json", include_str!("../../data/authorities.json"))
}

/// `tests/data/decisions.json`, and `survey.json` after it.
pub fn decisions() -> Vec<DecisionGroup> {
    let mut groups = read("decisions.json", include_str!("../../data/decisions.json"));
    groups.extend(survey());
    groups
}

/// `tests/data/survey.json`: what other systems decided wrongly.
pub fn survey() -> Vec<DecisionGroup> {
    read("survey.json", include_str!("../../data/survey.json"))
}

/// `tests/data/tls.json`.
pub fn tls() -> Vec<TlsGroup> {
    read("tls.json", include_str!("../../data/tls.json"))
}

/// `tests/data/hellos.json`.
pub fn hellos() -> Vec<HelloCase> {
    read("hellos.json", include_str!("../../data/hellos.json"))
}

/// `tests/data/attacks.json`.
pub fn attacks() -> Vec<Attack> {
    read("attacks.json", include_str!("../../data/attacks.json"))
}

/// `tests/data/refused-policies.json`.
pub fn refused_policies() -> Vec<RefusedPolicy> {
    read("refused-policies.json", include_str!("../../data/refused-policies.json"))
}

/// `tests/data/accepted-policies.json`.
pub fn accepted_policies() -> Vec<AcceptedPolicy> {
    read("accepted-policies.json", include_str!("../../data/accepted-policies.json"))
}

fn read<T: for<'de> Deserialize<'de>>(file: &str, text: &str) -> Vec<T> {
    let table: Table<T> = serde_json::from_str(text).unwrap_or_else(|error| panic!("tests/data/{file}: {error}"));
    assert!(!table.cases.is_empty(), "tests/data/{file} holds no case");
    table.cases
}
