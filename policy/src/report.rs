//! A decision in words: the audit header, the body that a refused client gets, and the audit
//! record. What comes from the request is bounded and cannot break out of its quotes.

use std::fmt::Write as _;

use serde::Serialize;

use crate::audit::{Detail, Mode};
use crate::authority::Authority;
use crate::decision::{Decision, Reason};
use crate::policy::Policy;
use crate::request::{Request, Transport};

/// The longest host that is shown, in bytes: a whole valid name.
const MAX_HOST: usize = 253;
/// The longest method that is shown, in bytes.
const MAX_METHOD: usize = 32;
/// The longest path that is shown, in bytes.
const MAX_PATH: usize = 256;
/// The longest request id that is shown, in bytes.
const MAX_REQUEST_ID: usize = 64;

/// One decision in words.
///
/// ```
/// use weir_policy::{Policy, Report, Request};
///
/// let policy = Policy::from_json(br#"{"internet_access": "on", "denylist": ["gist.github.com"]}"#)?;
/// let request = Request { method: b"POST", authority: b"Gist.GitHub.com", ..Request::default() };
/// let decision = policy.decide(&request);
/// let report = Report::new(&policy, &request, &decision);
/// assert_eq!(
///     report.header(),
///     r#"deny; reason=domain-denied; host="gist.github.com"; method=POST; rule="denylist:gist.github.com""#
/// );
/// assert!(report.problem().contains("The policy's denylist refuses gist.github.com."));
/// # Ok::<(), weir_policy::Mistakes>(())
/// ```
pub struct Report<'a> {
    policy: &'a Policy,
    request: &'a Request<'a>,
    decision: &'a Decision<'a>,
    host: String,
    method: String,
    rule: Option<String>,
}

/// RFC 9457 section 3.1, and the members that explain a refusal.
#[derive(Serialize)]
struct ProblemDetails<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    reason: &'a str,
    #[serde(flatten)]
    about: Option<About<'a>>,
}

#[derive(Serialize)]
struct About<'a> {
    host: &'a str,
    method: &'a str,
    rule: Option<&'a str>,
    policy: &'a str,
}

#[derive(Serialize)]
struct AuditRecord<'a> {
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    rule: Option<&'a str>,
    policy: &'a str,
    request_id: String,
}

impl<'a> Report<'a> {
    /// Puts into words what `policy` decided about `request`.
    pub fn new(policy: &'a Policy, request: &'a Request<'a>, decision: &'a Decision<'a>) -> Report<'a> {
        Report {
            policy,
            request,
            decision,
            host: shown_host(request.authority),
            method: printable(request.method, MAX_METHOD),
            rule: decision.entry().map(|entry| entry.to_string()),
        }
    }

    /// What happens to the request: `allow`, `deny`, or `would-deny` where the policy only audits.
    pub fn outcome(&self) -> &'static str {
        match (self.decision, self.policy.mode()) {
            (Decision::Allow { .. }, _) => "allow",
            (Decision::Deny { .. }, Mode::Enforce) => "deny",
            (Decision::Deny { .. }, Mode::Audit) => "would-deny",
        }
    }

    /// The host as it is shown: a valid one in lower case, anything else made printable.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The method as it is shown.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Why the request was refused, in a sentence for the agent or the person behind the client; `None` for an allowed
    /// request.
    pub fn detail(&self) -> Option<String> {
        self.decision.reason().map(|reason| self.detail_of(reason))
    }

    /// The value of `x-weir-decision` for the client: [`Report::decision`], or its reason alone where
    /// `audit.detail` is `minimal`.
    pub fn header(&self) -> String {
        match self.decision.reason() {
            Some(_) if self.policy.audit().detail == Detail::Minimal => self.outcome_and_reason(),
            _ => self.decision(),
        }
    }

    /// The decision as the access log shows it, an RFC 9651 item with parameters.
    pub fn decision(&self) -> String {
        let mut header = self.outcome_and_reason();
        let _ = write!(header, "; host={}; method={}", quoted(&self.host), token_or_quoted(&self.method));
        if let Some(rule) = &self.rule {
            let _ = write!(header, "; rule={}", quoted(rule));
        }
        header
    }

    fn outcome_and_reason(&self) -> String {
        let mut text = self.outcome().to_owned();
        if let Some(reason) = self.decision.reason() {
            let _ = write!(text, "; reason={reason}");
        }
        text
    }

    /// The body of a refusal: `application/problem+json` (RFC 9457). Empty for an allowed request.
    pub fn problem(&self) -> String {
        let Some(reason) = self.decision.reason() else { return String::new() };
        let full = self.policy.audit().detail == Detail::Full;
        let about =
            About { host: &self.host, method: &self.method, rule: self.rule.as_deref(), policy: self.policy.name() };
        json(&ProblemDetails {
            r#type: format!("urn:weir:denied:{reason}"),
            title: "Refused by the egress policy",
            status: 403,
            detail: full.then(|| self.detail_of(reason)),
            reason: reason.code(),
            about: full.then_some(about),
        })
    }

    /// One line of JSON for the audit log.
    pub fn audit_record(&self) -> String {
        let authority = Authority::parse(self.request.authority).ok();
        let port = match (self.request.transport, authority) {
            // It came with the connection, whatever the ClientHello says.
            (Transport::Passthrough { port }, _) => (port != 0).then_some(port),
            (transport, authority) => authority.map(|it| it.port.unwrap_or_else(|| transport.default_port())),
        };
        let path = (self.decision.reason() == Some(Reason::PathNotAllowed)).then(|| {
            let path = self.request.path.split(|&byte| byte == b'?').next().unwrap_or_default();
            printable(path, MAX_PATH)
        });
        json(&AuditRecord {
            decision: self.outcome(),
            reason: self.decision.reason().map(Reason::code),
            host: &self.host,
            port,
            method: &self.method,
            path,
            rule: self.rule.as_deref(),
            policy: self.policy.name(),
            request_id: printable(self.request.id, MAX_REQUEST_ID),
        })
    }

    fn detail_of(&self, reason: Reason) -> String {
        let (host, method) = (&self.host, &self.method);
        let what = match reason {
            Reason::AccessOff => "Internet access is off in this environment.".to_owned(),
            Reason::AuthorityInvalid => format!("\"{host}\" is not a host name or address with an optional port."),
            Reason::DomainDenied => format!("The policy's denylist refuses {host}."),
            Reason::IpLiteral => {
                format!("{host} is an address; the policy allows hosts by name, and this address is not listed.")
            }
            Reason::SpecialName => {
                format!("{host} is a name of this machine, its network or its cloud, and is not listed.")
            }
            Reason::DomainNotAllowed => format!("{host} is not on the policy's allowlist."),
            Reason::PortNotAllowed => format!("The policy does not allow this port at {host}."),
            Reason::MethodNotAllowed => format!("The policy does not allow {method} at {host}."),
            Reason::MethodOverride => {
                format!(
                    "The policy restricts methods at {host}, and the request carries a header that overrides its \
                    method."
                )
            }
            Reason::BodyNotAllowed => {
                format!("The policy restricts methods at {host}, and a {method} may not carry a body.")
            }
            Reason::UpgradeNotAllowed => {
                format!(
                    "The policy restricts methods at {host}, and an upgraded connection (WebSocket) would hide them."
                )
            }
            Reason::TunnelNotInspected => format!(
                "The policy restricts methods or paths at {host}, and a tunnel would hide them: the TLS inside is \
                not inspected."
            ),
            Reason::PathNotAllowed => format!("The policy does not allow this path at {host}."),
            Reason::TlsNameMismatch => format!("The TLS connection was made for another name than {host}."),
        };
        let policy = match self.policy.name() {
            "" => "the policy".to_owned(),
            name => format!("the policy \"{name}\""),
        };
        format!(
            "{what} This is deliberate: trying again or going another way will not help. Whoever maintains {policy} \
            of this environment can change it."
        )
    }
}

/// The host of a valid authority in lower case; what came instead of one, made printable.
fn shown_host(authority: &[u8]) -> String {
    match Authority::parse(authority) {
        Ok(authority) => authority.host.to_string(),
        Err(_) => printable(authority, MAX_HOST),
    }
}

/// Bytes as printable ASCII, at most `max` of them; others percent-encoded.
fn printable(bytes: &[u8], max: usize) -> String {
    let mut text = String::with_capacity(bytes.len().min(max));
    for &byte in bytes.iter().take(max) {
        if (0x20..0x7f).contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    if bytes.len() > max {
        text.push_str("...");
    }
    text
}

/// Printable ASCII as an RFC 9651 string (section 3.3.3). Anything else, which only a policy's own
/// words can hold, is left out.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars().filter(|character| (' '..='~').contains(character)) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// An RFC 9651 token (section 3.3.4) where `text` is one; else a string.
fn token_or_quoted(text: &str) -> String {
    let is_token = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
    if is_token { text.to_owned() } else { quoted(text) }
}

/// These values hold strings and numbers alone, which always serialise.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
