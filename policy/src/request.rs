//! What a decision is made of: the parts of one HTTP request, or the name in a TLS hello, as they came,
//! not cleaned by anybody.

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

impl<'r> Request<'r> {
    /// A TLS connection that nobody opens, to the host that its hello names. What is asked inside cannot
    /// be seen, so it is decided as a tunnel is.
    ///
    /// `server_name` is the hello's own (RFC 6066 section 3), empty when it has none or when there is no
    /// TLS; `port` is 0 when nobody can tell it.
    pub fn unopened_tls(server_name: &'r [u8], port: u16) -> Request<'r> {
        Request {
            method: UNOPENED,
            authority: server_name,
            transport: Transport::Unopened { port },
            ..Request::default()
        }
    }

    /// Whether this asks for a tunnel by HTTP (RFC 9110 section 9.3.6).
    pub fn is_connect(&self) -> bool {
        self.method == b"CONNECT"
    }

    /// Whether what follows is hidden from whoever decides: CONNECT, and TLS that nobody opens.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.is_connect() || matches!(self.transport, Transport::Unopened { .. })
    }
}

/// What stands for the method where there is no HTTP to see.
const UNOPENED: &[u8] = b"TLS";

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
    /// As TLS that Envoy passes on as it is: see [`Request::unopened_tls`].
    Unopened {
        /// The port that the client connected to; 0, which only `"any"` allows, when nobody can tell.
        port: u16,
    },
}

impl Transport<'_> {
    /// The port that an authority without one means.
    pub fn default_port(&self) -> u16 {
        match self {
            Transport::Cleartext => 80,
            Transport::Tls { .. } => 443,
            Transport::Unopened { port } => *port,
        }
    }
}
