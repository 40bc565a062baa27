//! What a decision is made of: the parts of one HTTP request, as they came, not cleaned by anybody.

/// One request as Envoy shows it to a filter. Every field holds the client's own bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'r> {
    /// `:method`, compared byte for byte (RFC 9110 section 9.1: methods are case-sensitive).
    pub method: &'r [u8],
    /// `:authority` (RFC 9110 section 7.2); empty when absent.
    pub authority: &'r [u8],
    /// `:path` with its query; empty when absent, as in CONNECT.
    pub path: &'r [u8],
    /// `content-type`; empty when absent.
    pub content_type: &'r [u8],
    /// One of `x-http-method-override`, `x-http-method`, `x-method-override` is present.
    pub method_override: bool,
    /// The request carries a body, or nobody can tell that it does not.
    pub body: bool,
    /// An upgrade is asked for: an `upgrade` header, or `:protocol` (RFC 8441).
    pub upgrade: bool,
    /// How the request reached Envoy.
    pub transport: Transport<'r>,
}

impl Request<'_> {
    /// Whether this asks for a tunnel (RFC 9110 section 9.3.6).
    pub fn is_connect(&self) -> bool {
        self.method == b"CONNECT"
    }
}

/// How a request reached Envoy. The client's own `:scheme` is not believed: it does not decide
/// where Envoy connects to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport<'r> {
    /// Without TLS.
    #[default]
    Cleartext,
    /// Over TLS that Envoy terminated.
    Tls {
        /// The name in the client's hello (RFC 6066 section 3); empty when it sent none.
        server_name: &'r [u8],
    },
}

impl Transport<'_> {
    /// The port that an authority without one means.
    pub fn default_port(&self) -> u16 {
        match self {
            Transport::Cleartext => 80,
            Transport::Tls { .. } => 443,
        }
    }
}
