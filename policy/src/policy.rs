//! The policy and its decision: the steps, in their order, of which the first refusal counts.

use crate::audit::{Audit, Mode};
use crate::authority::{Authority, Host};
use crate::decision::{Decision, Reason};
use crate::entry::{Entry, Layer, Listed, place};
use crate::limits::{Limits, Tls};
use crate::lists::Lists;
use crate::preset::Preset;
use crate::request::{Request, Transport};
use crate::{address, git, path, special_name};

/// What an agent may reach. The default is the policy of an empty document: internet access is off.
///
/// ```
/// use weir_policy::{Policy, Request};
///
/// let document = br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}, "methods": ["GET"]}"#;
/// let policy = Policy::from_json(document)?;
/// let get = Request { method: b"GET", authority: b"www.example.com:443", ..Request::default() };
/// assert!(policy.decide(&get).is_allowed());
/// assert!(!Policy::default().decide(&get).is_allowed());
///
/// let mistakes = Policy::from_json(br#"{"denylist": ["*.com"], "port": [443]}"#).unwrap_err();
/// let places: Vec<&str> = mistakes.iter().map(|mistake| mistake.place.as_str()).collect();
/// assert_eq!(places, ["port", "denylist[0]"]);
/// # Ok::<(), weir_policy::Mistakes>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub(crate) internet_access: bool,
    pub(crate) lists: Lists,
    /// What is allowed where the entry is no rule of its own.
    pub(crate) limits: Limits,
    /// Whether some limit differs between the ports that cleartext and TLS mean by default.
    pub(crate) tells_ports_apart: bool,
    /// Whether Envoy inspects the TLS of some host.
    pub(crate) inspects: bool,
    pub(crate) mode: Mode,
    pub(crate) audit: Audit,
    pub(crate) name: String,
}

impl Policy {
    /// The label of this policy in audit records.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a refusal refuses, or is only logged.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the auditor and the client are told.
    pub fn audit(&self) -> Audit {
        self.audit
    }

    /// Whether Envoy inspects the TLS of at least one host, so that each request inside is decided too.
    pub fn inspects(&self) -> bool {
        self.inspects
    }

    /// Whether there is internet access at all.
    pub fn internet_access(&self) -> bool {
        self.internet_access
    }

    /// The preset `all` as an entry, where the policy names it: it allows names and public addresses that no other
    /// entry covers.
    pub fn unlisted(&self) -> Option<Entry<'_>> {
        self.lists.unlisted.as_ref().map(|listed| self.shown(listed))
    }

    /// The presets that the policy names, in its order, each with the place of its name. `none` and `all` are not among
    /// them: they list nothing.
    pub fn presets(&self) -> impl Iterator<Item = (&'static Preset, String)> {
        self.lists.presets.iter().map(|(preset, index)| (*preset, place(Layer::Preset, *index)))
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
        self.lists.entries.iter().map(|listed| self.shown(listed))
    }

    /// The entry at `index` of [`Policy::entries`].
    pub fn entry(&self, index: usize) -> Option<Entry<'_>> {
        self.lists.entries.get(index).map(|listed| self.shown(listed))
    }

    /// The entry of the denylist that governs `host`.
    pub fn denied_by(&self, host: Host<'_>) -> Option<Entry<'_>> {
        self.lists.lookup(host).deny.and_then(|id| self.lists.entry(id)).map(|listed| self.shown(listed))
    }

    /// The entry of the allowlist or of a preset that governs `host`, whether or not the denylist has it too.
    pub fn allowed_by(&self, host: Host<'_>) -> Option<Entry<'_>> {
        let hits = self.lists.lookup(host);
        hits.allow.or(hits.preset).and_then(|id| self.lists.entry(id)).map(|listed| self.shown(listed))
    }

    fn shown<'p>(&'p self, listed: &'p Listed) -> Entry<'p> {
        Entry::new(listed, &self.limits)
    }

    /// Decides one request, or one TLS connection ([`Request::tls_passthrough`]). Allocates nothing for an allowed
    /// request, unless paths matter and its path has to be normalised first.
    pub fn decide<'p>(&'p self, request: &Request<'_>) -> Decision<'p> {
        match self.check(request) {
            Ok(entry) => Decision::Allow { entry },
            Err((reason, entry)) => Decision::Deny { reason, entry },
        }
    }

    /// The steps of the decision, in their order.
    fn check<'p>(&'p self, request: &Request<'_>) -> Result<Entry<'p>, Refusal<'p>> {
        if !self.internet_access {
            return Err((Reason::AccessOff, None));
        }
        let authority = Authority::parse(request.authority).map_err(|_| (Reason::AuthorityInvalid, None))?;
        // A CONNECT must name a port (RFC 9110 section 9.3.6), and a name in a ClientHello has none.
        let is_malformed = match request.transport {
            Transport::Passthrough { .. } => authority.port.is_some(),
            Transport::Cleartext | Transport::Tls { .. } => request.is_connect() && authority.port.is_none(),
        };
        if is_malformed {
            return Err((Reason::AuthorityInvalid, None));
        }
        let entry = self.check_host(authority.host)?;
        let limits = entry.limits();
        let refuse = |reason| Err((reason, Some(entry)));
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
        // Also of a host that is not inspected; otherwise another host's tunnel could front for it.
        if self.inspects && refused_tls_name(request, authority.host) {
            return refuse(Reason::TlsNameMismatch);
        }
        Ok(entry)
    }

    /// Denylist, then allowlist: the entry that allows the host.
    fn check_host(&self, host: Host<'_>) -> Result<Entry<'_>, Refusal<'_>> {
        let hits = self.lists.lookup(host);
        let entry = |id| self.lists.entry(id).map(|listed| self.shown(listed));
        if let Some(denied) = hits.deny {
            return Err((Reason::DomainDenied, entry(denied)));
        }
        if let Some(entry) = hits.allow.or(hits.preset).and_then(entry) {
            return Ok(entry);
        }
        let reason = match host {
            Host::Name(name) if special_name::is_special(name.as_bytes()) => Reason::SpecialName,
            Host::Name(_) => match self.unlisted() {
                Some(all) => return Ok(all),
                None => Reason::DomainNotAllowed,
            },
            Host::Address(literal) => match self.unlisted() {
                Some(all) if address::is_public(literal) => return Ok(all),
                _ => Reason::IpLiteral,
            },
            Host::Numeric(_) => Reason::IpLiteral,
        };
        Err((reason, None))
    }

    /// The tunnel that a CONNECT which goes on asks for, whether it came in cleartext or over TLS; `None` for any other
    /// request.
    pub fn tunnel(&self, request: &Request<'_>) -> Option<Tunnel> {
        if !request.is_connect() {
            return None;
        }
        let authority = Authority::parse(request.authority).ok()?;
        // In audit mode what would be refused goes on as well.
        let limits = self.check_host(authority.host).map_or(&self.limits, Entry::limits);
        Some(Tunnel { host: authority.host.to_string(), tls: limits.tls })
    }
}

/// A tunnel, as the part of Envoy that opens it has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The host: a name in lower case without a trailing dot, which the TLS inside must ask for, or
    /// an address.
    pub host: String,
    /// Whether to inspect the TLS inside. A configuration that cannot must not open such a tunnel.
    pub tls: Tls,
}

/// The method, and what could hide one. A tunnel is not a method to restrict: it is refused where what is inside
/// matters and would not be inspected.
fn refused_method(request: &Request<'_>, limits: &Limits) -> Option<Reason> {
    let restricted = limits.methods.are_restricted();
    if request.is_tunnel() {
        let inspected = limits.tls == Tls::Inspected && request.transport == Transport::Cleartext;
        return match (restricted, limits.paths.is_some()) {
            (true, _) if request.method_override => Some(Reason::MethodOverride),
            (true, _) if request.upgrade => Some(Reason::UpgradeNotAllowed),
            (false, false) => None,
            _ if inspected => None,
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

type Refusal<'p> = (Reason, Option<Entry<'p>>);

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
        // Under TLS passthrough the host is the name itself.
        (Transport::Cleartext | Transport::Passthrough { .. }, _) => false,
        (Transport::Tls { server_name }, Host::Name(name)) => {
            let server_name = server_name.strip_suffix(b".").unwrap_or(server_name);
            !server_name.eq_ignore_ascii_case(name.as_bytes())
        }
        // An address is never sent as a server name (RFC 6066 section 3).
        (Transport::Tls { server_name }, Host::Address(_) | Host::Numeric(_)) => !server_name.is_empty(),
    }
}
