//! The policy and its decision: the steps, in their order, of which the first refusal counts.

use std::borrow::Cow;

use crate::authority::{Authority, Host};
use crate::decision::{Decision, Reason, Rule};
pub use crate::domain_set::Layer;
use crate::domain_set::{DomainSet, EntryId, Hits};
use crate::error::Mistakes;
use crate::lists::Addresses;
use crate::method::Methods;
pub use crate::path::PathPrefix;
use crate::pattern::{Covers, Pattern};
use crate::request::{Request, Transport};
use crate::{address, config, git, path, special_name};

/// What an agent may reach. The default is the policy of an empty document: internet access is off.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "two settings that are no other's state, and two facts that follow from all of them"
)]
pub struct Policy {
    pub(crate) internet_access: bool,
    /// Preset `all`: names and public addresses that no entry covers are allowed.
    pub(crate) unlisted: bool,
    pub(crate) entries: Vec<Listed>,
    pub(crate) domains: DomainSet,
    pub(crate) addresses: Addresses,
    /// What is allowed where the entry is no rule of its own.
    pub(crate) limits: Limits,
    /// Whether some limit differs between the ports that cleartext and TLS mean by default.
    pub(crate) tells_ports_apart: bool,
    /// Whether Envoy looks into the TLS of some host.
    pub(crate) inspects: bool,
    pub(crate) mode: Mode,
    pub(crate) audit: Audit,
    pub(crate) name: String,
}

/// One entry of a list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) layer: Layer,
    pub(crate) source: &'static str,
    pub(crate) pattern: Cow<'static, str>,
    /// `subdomains: false` beside a plain domain.
    pub(crate) apex_only: bool,
    pub(crate) limits: Option<Box<Limits>>,
}

/// What may be done at a host that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The methods.
    pub methods: Methods,
    /// The ports.
    pub ports: Ports,
    /// The prefixes that a path must have one of; `None` allows every path.
    pub paths: Option<Vec<PathPrefix>>,
    /// `git-fetch`: what `git clone` and `git fetch` send is allowed beside `methods`.
    pub git_fetch: bool,
    /// Whether Envoy looks into TLS there.
    pub tls: Tls,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            methods: Methods::All,
            ports: Ports::Only(vec![80, 443]),
            paths: None,
            git_fetch: false,
            tls: Tls::Passthrough,
        }
    }
}

impl Limits {
    /// Whether a tunnel would hide what they restrict.
    pub fn concern_the_inside(&self) -> bool {
        self.methods.are_restricted() || self.paths.is_some()
    }

    /// Whether every tunnel is refused, since nobody would look into it for what they restrict.
    pub fn refuse_tunnels(&self) -> bool {
        self.concern_the_inside() && self.tls == Tls::Passthrough
    }
}

/// The ports that a policy or a rule allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every port.
    Any,
    /// These alone.
    Only(Vec<u16>),
}

impl Ports {
    /// Whether `port` is allowed.
    pub fn allow(&self, port: u16) -> bool {
        match self {
            Ports::Any => true,
            Ports::Only(ports) => ports.contains(&port),
        }
    }
}

/// Whether Envoy looks into TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Envoy forwards TLS unseen.
    #[default]
    Passthrough,
    /// Envoy terminates TLS, and what is inside is decided too.
    Inspected,
}

/// What a refusal does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The request is refused.
    #[default]
    Enforce,
    /// The request goes on; that it would have been refused is logged and counted.
    Audit,
}

/// What the auditor and the client are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Which decisions leave a record.
    pub log: AuditLog,
    /// How much a refused client is told.
    pub detail: Detail,
}

/// Which decisions leave an audit record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditLog {
    /// Refusals.
    #[default]
    Denied,
    /// Every decision.
    All,
    /// No decision.
    None,
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

/// How much a refused client is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Reason, host, method, rule and policy.
    #[default]
    Full,
    /// The reason's code alone.
    Minimal,
}

/// An entry of a policy as [`Policy::entries`] shows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'p> {
    listed: &'p Listed,
    inherited: &'p Limits,
}

impl<'p> Entry<'p> {
    /// The list on which it stands.
    pub fn layer(self) -> Layer {
        self.listed.layer
    }

    /// The entry, named as in a decision.
    pub fn rule(self) -> Rule<'p> {
        self.listed.rule()
    }

    /// What it covers; `None` never comes about, since the entry was read once already.
    pub fn pattern(self) -> Option<Pattern> {
        let mut pattern = Pattern::parse(&self.listed.pattern).ok()?;
        if let (Pattern::Domain { covers, .. }, true) = (&mut pattern, self.listed.apex_only) {
            *covers = Covers::Apex;
        }
        Some(pattern)
    }

    /// Whether it is a rule, with limits of its own.
    pub fn is_rule(self) -> bool {
        self.listed.limits.is_some()
    }

    /// What may be done at the hosts that it allows.
    pub fn limits(self) -> &'p Limits {
        self.listed.limits.as_deref().unwrap_or(self.inherited)
    }
}

impl Policy {
    /// Reads a policy document: JSON, or the same as an encoded `google.protobuf.Struct`, in which
    /// form Envoy passes a policy that is written as YAML inside its own configuration. An empty or
    /// blank document is `{}`.
    ///
    /// # Errors
    /// Every mistake of the document at once, each with its place, what was found and what is
    /// accepted.
    pub fn from_json(document: &[u8]) -> Result<Policy, Mistakes> {
        config::read(document)
    }

    /// The label of this policy in audit records.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether refusals are carried out.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the auditor and the client are told.
    pub fn audit(&self) -> Audit {
        self.audit
    }

    /// Whether Envoy looks into the TLS of at least one host, so that what is inside is decided too.
    pub fn inspects(&self) -> bool {
        self.inspects
    }

    /// Whether there is internet access at all.
    pub fn internet_access(&self) -> bool {
        self.internet_access
    }

    /// Whether names and public addresses that no entry covers are allowed (preset `all`).
    pub fn allows_unlisted(&self) -> bool {
        self.unlisted
    }

    /// What may be done at hosts that no rule covers.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a decision can depend on [`Request::transport`]. It costs the plugin a call to find
    /// out.
    pub fn depends_on_transport(&self) -> bool {
        self.inspects || self.tells_ports_apart
    }

    /// The entries of all lists. Those of one list stand in the document's order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|listed| Entry { listed, inherited: &self.limits })
    }

    /// Decides one request, or one TLS connection ([`Request::tls_passthrough`]). Allocates nothing for
    /// an allowed request, unless paths matter and its path has to be normalised first.
    pub fn decide<'p>(&'p self, request: &Request<'_>) -> Decision<'p> {
        match self.check(request) {
            Ok(rule) => Decision::Allow { rule },
            Err((reason, rule)) => Decision::Deny { reason, rule },
        }
    }

    /// The steps of the decision, in their order.
    fn check<'p>(&'p self, request: &Request<'_>) -> Result<Rule<'p>, Refusal<'p>> {
        if !self.internet_access {
            return Err((Reason::AccessOff, None));
        }
        let authority = Authority::parse(request.authority).map_err(|_| (Reason::AuthorityInvalid, None))?;
        // A CONNECT must name a port (RFC 9110 section 9.3.6), and a name in a hello has none.
        let is_malformed = match request.transport {
            Transport::Passthrough { .. } => authority.port.is_some(),
            Transport::Cleartext | Transport::Tls { .. } => request.is_connect() && authority.port.is_none(),
        };
        if is_malformed {
            return Err((Reason::AuthorityInvalid, None));
        }
        let (rule, limits) = self.check_host(authority.host)?;
        let refuse = |reason| Err((reason, Some(rule)));
        let port = authority.port.unwrap_or_else(|| request.transport.default_port());
        if !limits.ports.allow(port) {
            return refuse(Reason::PortNotAllowed);
        }
        if let Some(reason) = refused_method(request, limits) {
            return refuse(reason);
        }
        if refused_path(request, limits) {
            return refuse(Reason::PathNotAllowed);
        }
        // Of a host that is not looked into too: inside the tunnel of another one it would be fronted.
        if self.inspects && refused_tls_name(request, authority.host) {
            return refuse(Reason::TlsNameMismatch);
        }
        Ok(rule)
    }

    /// Denylist, then allowlist: the entry that allows the host, and what it allows there.
    fn check_host(&self, host: Host<'_>) -> Result<(Rule<'_>, &Limits), Refusal<'_>> {
        let hits = match host {
            Host::Name(name) => self.domains.lookup(name.as_bytes()),
            Host::Address(address) => self.addresses.lookup(address),
            Host::Numeric(_) => Hits::default(),
        };
        if let Some(denied) = hits.deny {
            return Err((Reason::DomainDenied, self.entry(denied).map(Listed::rule)));
        }
        if let Some(entry) = hits.allow.or(hits.preset).and_then(|id| self.entry(id)) {
            return Ok((entry.rule(), entry.limits.as_deref().unwrap_or(&self.limits)));
        }
        let reason = match host {
            Host::Name(name) if special_name::is_special(name.as_bytes()) => Reason::SpecialName,
            Host::Name(_) if self.unlisted => return Ok((UNLISTED, &self.limits)),
            Host::Name(_) => Reason::DomainNotAllowed,
            Host::Address(literal) if self.unlisted && address::is_public(literal) => {
                return Ok((UNLISTED, &self.limits));
            }
            Host::Address(_) | Host::Numeric(_) => Reason::IpLiteral,
        };
        Err((reason, None))
    }

    fn entry(&self, id: EntryId) -> Option<&Listed> {
        self.entries.get(usize::try_from(id.get()).ok()?.checked_sub(1)?)
    }

    /// The tunnel that a CONNECT which goes on asks for, whether it came in cleartext or over TLS; `None` for any other
    /// request.
    pub fn tunnel(&self, request: &Request<'_>) -> Option<Tunnel> {
        if !request.is_connect() {
            return None;
        }
        let authority = Authority::parse(request.authority).ok()?;
        // In audit mode what would be refused goes on as well.
        let limits = self.check_host(authority.host).map_or(&self.limits, |(_, limits)| limits);
        Some(Tunnel { host: authority.host.to_string(), tls: limits.tls })
    }
}

/// A tunnel, as whoever opens it has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The host: a name in lower case without a trailing dot, which the TLS inside must ask for, or
    /// an address.
    pub host: String,
    /// Whether to look into the TLS inside. Who cannot do that opens no such tunnel.
    pub tls: Tls,
}

/// The method, and what could hide one. A tunnel is not a method to restrict: it is refused where
/// what is inside matters and nobody would look into it.
fn refused_method(request: &Request<'_>, limits: &Limits) -> Option<Reason> {
    let restricted = limits.methods.are_restricted();
    if request.is_tunnel() {
        let opened = limits.tls == Tls::Inspected && request.transport == Transport::Cleartext;
        return match (restricted, limits.paths.is_some()) {
            (true, _) if request.method_override => Some(Reason::MethodOverride),
            (true, _) if request.upgrade => Some(Reason::UpgradeNotAllowed),
            (false, false) => None,
            _ if opened => None,
            _ => Some(Reason::TunnelNotInspected),
        };
    }
    if !restricted {
        return None;
    }
    if !(limits.methods.allow(request.method) || limits.git_fetch && is_git_fetch(request)) {
        Some(Reason::MethodNotAllowed)
    } else if request.method_override {
        Some(Reason::MethodOverride)
    } else if request.body && matches!(request.method, b"GET" | b"HEAD" | b"OPTIONS") {
        Some(Reason::BodyNotAllowed)
    } else if request.upgrade {
        Some(Reason::UpgradeNotAllowed)
    } else {
        None
    }
}

type Refusal<'p> = (Reason, Option<Rule<'p>>);

/// What preset `all` calls itself in a decision.
const UNLISTED: Rule<'static> = Rule { source: "all", pattern: "" };

fn is_git_fetch(request: &Request<'_>) -> bool {
    path::normalize(request.path).is_some_and(|path| git::is_fetch(request, &path))
}

fn refused_path(request: &Request<'_>, limits: &Limits) -> bool {
    match &limits.paths {
        Some(prefixes) if !request.is_tunnel() => {
            !path::normalize(request.path).is_some_and(|path| prefixes.iter().any(|prefix| prefix.covers(&path)))
        }
        _ => false,
    }
}

/// Whether the connection was made for another name than the request names.
fn refused_tls_name(request: &Request<'_>, host: Host<'_>) -> bool {
    match (request.transport, host) {
        // Of TLS that nobody opens the host is the name itself.
        (Transport::Cleartext | Transport::Passthrough { .. }, _) => false,
        (Transport::Tls { server_name }, Host::Name(name)) => {
            let server_name = server_name.strip_suffix(b".").unwrap_or(server_name);
            !server_name.eq_ignore_ascii_case(name.as_bytes())
        }
        // An address is never sent as a server name (RFC 6066 section 3).
        (Transport::Tls { server_name }, Host::Address(_) | Host::Numeric(_)) => !server_name.is_empty(),
    }
}

impl Listed {
    pub(crate) fn rule(&self) -> Rule<'_> {
        Rule { source: self.source, pattern: &self.pattern }
    }
}
