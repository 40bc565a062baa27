//! The answer to a request, and the public, stable codes of every reason to refuse one.

use std::fmt;

use crate::entry::Entry;

/// What the policy says about one request.
///
/// ```
/// use weir_policy::{Policy, Reason, Request};
///
/// let policy = Policy::from_json(br#"{
///     "internet_access": "on",
///     "allowlist": { "domains": ["a.example", { "domain": "b.example", "ports": [8443] }] }
/// }"#)?;
///
/// let decision = policy.decide(&Request { method: b"GET", authority: b"b.example", ..Request::default() });
/// assert_eq!(decision.reason(), Some(Reason::PortNotAllowed));
/// let rule = decision.entry().ok_or("the rule whose limits it broke")?;
/// assert_eq!((rule.place(), rule.limits().ports.allow(8443)), ("allowlist.domains[1]".to_owned(), true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'p> {
    /// The request may go on.
    Allow {
        /// The allow entry that let it through.
        entry: Entry<'p>,
    },
    /// The request must be refused.
    Deny {
        /// The first reason in the order of [`Reason::ALL`].
        reason: Reason,
        /// The entry that refused it, or the allow entry whose limits it broke; `None` where no entry was involved.
        entry: Option<Entry<'p>>,
    },
}

impl<'p> Decision<'p> {
    /// Why it was refused; `None` for an allowed request.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Decision::Allow { .. } => None,
            Decision::Deny { reason, .. } => Some(*reason),
        }
    }

    /// The entry of the policy that decided, where one did.
    pub fn entry(&self) -> Option<Entry<'p>> {
        match self {
            Decision::Allow { entry } => Some(*entry),
            Decision::Deny { entry, .. } => *entry,
        }
    }

    /// Whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allow { .. })
    }
}

/// One row of the table of reasons.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $proxy_error:literal, $step:literal;)*) => {
        /// Why a request is refused. The codes are public and stable.
        ///
        /// ```
        /// use weir_policy::Reason;
        ///
        /// let reason = Reason::MethodOverride;
        /// assert_eq!((reason.code(), reason.proxy_error()), ("method-override", "blocked-by-method-policy"));
        /// assert_eq!(Reason::ALL.first(), Some(&Reason::AccessOff));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order in which they are looked for.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The public code, as in `x-weir-decision` and in the counters.
            pub fn code(self) -> &'static str {
                match self { $(Reason::$variant => $code,)* }
            }

            /// The value of `x-proxy-error`: the coarser word that agents already know.
            pub fn proxy_error(self) -> &'static str {
                match self { $(Reason::$variant => $proxy_error,)* }
            }

            /// The step of the decision that takes it.
            pub fn step(self) -> &'static str {
                match self { $(Reason::$variant => $step,)* }
            }
        }
    };
}

reasons! {
    /// Internet access is off.
    AccessOff = "access-off", "blocked-by-policy", "internet access";
    /// The authority is absent or is not a host with an optional port.
    AuthorityInvalid = "authority-invalid", "blocked-by-policy", "authority";
    /// The host is on the denylist.
    DomainDenied = "domain-denied", "blocked-by-denylist", "denylist";
    /// The host is an address, in any spelling, that is not listed itself.
    IpLiteral = "ip-literal", "blocked-by-allowlist", "allowlist";
    /// The host is a local or metadata name that is not listed itself.
    SpecialName = "special-name", "blocked-by-allowlist", "allowlist";
    /// No allow entry covers the host.
    DomainNotAllowed = "domain-not-allowed", "blocked-by-allowlist", "allowlist";
    /// The port is not among those allowed for the host.
    PortNotAllowed = "port-not-allowed", "blocked-by-policy", "port";
    /// The method is not among those allowed for the host.
    MethodNotAllowed = "method-not-allowed", "blocked-by-method-policy", "method";
    /// Methods are restricted and a header asks the origin to take the request for another method.
    MethodOverride = "method-override", "blocked-by-method-policy", "method";
    /// Methods are restricted and a GET, HEAD or OPTIONS carries a body.
    BodyNotAllowed = "body-not-allowed", "blocked-by-method-policy", "method";
    /// Methods are restricted and an upgrade is asked for, which would hide what follows.
    UpgradeNotAllowed = "upgrade-not-allowed", "blocked-by-method-policy", "method";
    /// Methods or paths are restricted and a tunnel is asked for that is not inspected.
    TunnelNotInspected = "tunnel-not-inspected", "blocked-by-mitm-required", "method";
    /// The path is not among those allowed for the host.
    PathNotAllowed = "path-not-allowed", "blocked-by-policy", "path";
    /// The TLS server name of the connection is not the authority's host.
    TlsNameMismatch = "tls-name-mismatch", "blocked-by-policy", "TLS name";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
