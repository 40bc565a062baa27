//! HTTP methods: which a policy allows, and what a policy may call a method.

/// The methods that a policy or a rule allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Whatever the client sends.
    All,
    /// These alone, compared byte for byte.
    Only(Vec<String>),
}

impl Methods {
    /// `"read-only"` of the policy document.
    pub fn read_only() -> Methods {
        Methods::Only(READ_ONLY.iter().map(|&method| method.to_owned()).collect())
    }

    /// Whether anything but "all" was said. Only then does it matter what could hide a method.
    pub fn are_restricted(&self) -> bool {
        matches!(self, Methods::Only(_))
    }

    /// Whether `method`, as it came, is allowed.
    pub fn allow(&self, method: &[u8]) -> bool {
        match self {
            Methods::All => true,
            Methods::Only(methods) => methods.iter().any(|allowed| allowed.as_bytes() == method),
        }
    }
}

/// Methods that are safe (RFC 9110 section 9.2.1) and of use to a reader. TRACE, safe too, is left
/// out: it hands the request's own headers back.
pub const READ_ONLY: &[&str] = &["GET", "HEAD", "OPTIONS"];

/// IANA's HTTP method registry, but for `*` and `PRI`, which are no methods to allow. A method
/// outside it can be allowed too, unless it looks like a slip of one of these.
pub(crate) const REGISTERED: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Whether `text` is a token (RFC 9110 section 5.6.2), which a method has to be.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
