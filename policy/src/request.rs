//! What a decision is about: the parts of one HTTP request, or the name in a TLS `ClientHello`, as they came.
//!
//! This is the one reader of a request's headers: the plugin hands it what Envoy shows, `weir explain` what a client
//! would send. Nothing is copied, cleaned or repaired. Where two headers contradict each other the authority is left
//! empty, which every policy refuses: two readers of such a request would not agree on where it goes.

/// One request as Envoy shows it to a filter. Every field holds the client's own bytes.
///
/// ```
/// use weir_policy::Request;
///
/// let headers = [
///     (&b":method"[..], &b"POST"[..]),
///     (b":authority", b"api.example.com"),
///     (b":path", b"/v1"),
///     (b"x_http_method_override", b"DELETE"),
/// ];
/// let request = Request::from_headers(headers, true);
/// assert_eq!((request.method, request.authority), (&b"POST"[..], &b"api.example.com"[..]));
/// assert!(request.method_override && !request.body);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'r> {
    /// `:method`, compared byte for byte (RFC 9110 section 9.1: methods are case-sensitive).
    pub method: &'r [u8],
    /// `:authority` (RFC 9110 section 7.2); empty when absent or contradicted.
    pub authority: &'r [u8],
    /// `:path` with its query; empty when absent, as in CONNECT.
    pub path: &'r [u8],
    /// `content-type`; empty when absent.
    pub content_type: &'r [u8],
    /// One of `x-http-method-override`, `x-http-method`, `x-method-override` is present.
    pub method_override: bool,
    /// The request carries a body, or may carry one.
    pub body: bool,
    /// An upgrade is asked for: an `upgrade` header, or `:protocol` (RFC 8441).
    pub upgrade: bool,
    /// How the request reached Envoy.
    pub transport: Transport<'r>,
    /// By what the access log names the request: `x-request-id`, or the id of a connection. Empty when absent. It
    /// decides nothing; the audit record holds it.
    pub id: &'r [u8],
}

impl<'r> Request<'r> {
    /// Reads a request from its headers and pseudo-headers, names in lower case, as Envoy keeps them whatever the
    /// client wrote. The transport is not among them: it stays [`Transport::Cleartext`] until the caller sets it.
    ///
    /// `end_of_stream` says that nothing follows the headers. It is false for every tunnel and upgrade too, whether or
    /// not a byte follows, so it says nothing about those.
    #[inline]
    pub fn from_headers(headers: impl IntoIterator<Item = (&'r [u8], &'r [u8])>, end_of_stream: bool) -> Request<'r> {
        let mut request = Request::default();
        let mut contradiction = false;
        let (mut method, mut authority, mut path, mut host) = (None, None, None, None);
        let (mut content_type, mut id) = (None, None);
        for (name, value) in headers {
            match name {
                b":method" => contradiction |= method.replace(value).is_some(),
                b":authority" => contradiction |= authority.replace(value).is_some(),
                b":path" => contradiction |= path.replace(value).is_some(),
                b"host" => contradiction |= host.replace(value).is_some(),
                b":protocol" | b"upgrade" => request.upgrade = true,
                b"x-http-method-override" | b"x-http-method" | b"x-method-override" => {
                    request.method_override = true;
                }
                b"content-length" => request.body |= !is_zero(value),
                b"transfer-encoding" => request.body = true,
                b"content-type" => _ = content_type.get_or_insert(value),
                b"x-request-id" => _ = id.get_or_insert(value),
                _ => request.method_override |= is_method_override(name),
            }
        }
        contradiction |= host.is_some_and(|host| authority != Some(host));
        if !contradiction {
            request.authority = authority.unwrap_or_default();
        }
        request.method = method.unwrap_or_default();
        request.path = path.unwrap_or_default();
        request.content_type = content_type.unwrap_or_default();
        request.id = id.unwrap_or_default();
        request.body |= !end_of_stream && !request.upgrade && !request.is_connect();
        request
    }

    /// A connection under TLS passthrough, to the host that its `ClientHello` names. What is asked inside cannot be
    /// seen, so it is decided as a tunnel is.
    ///
    /// `server_name` is the name as sent (RFC 6066 section 3), empty when there is none or no TLS; `port` is 0 when it
    /// is unknown.
    pub fn tls_passthrough(server_name: &'r [u8], port: u16) -> Request<'r> {
        Request {
            method: TLS,
            authority: server_name,
            transport: Transport::Passthrough { port },
            ..Request::default()
        }
    }

    /// Whether this asks for a tunnel by HTTP (RFC 9110 section 9.3.6).
    pub fn is_connect(&self) -> bool {
        self.method == b"CONNECT"
    }

    /// Whether what follows is hidden from the decision: CONNECT, and TLS passthrough.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.is_connect() || matches!(self.transport, Transport::Passthrough { .. })
    }
}

/// What stands for the method under TLS passthrough, where there is no HTTP to see.
const TLS: &[u8] = b"TLS";

/// How a request reached Envoy. The client's own `:scheme` is not believed: it does not decide where Envoy connects to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport<'r> {
    /// Without TLS.
    #[default]
    Cleartext,
    /// Over TLS that Envoy terminated.
    Tls {
        /// The name in the `ClientHello` (RFC 6066 section 3); empty when it has none.
        server_name: &'r [u8],
    },
    /// As TLS that Envoy forwards as it is: see [`Request::tls_passthrough`].
    Passthrough {
        /// The port that the client connected to; 0, which only `"any"` allows, when it is unknown.
        port: u16,
    },
}

impl Transport<'_> {
    /// The port that an authority without one means.
    pub fn default_port(&self) -> u16 {
        match self {
            Transport::Cleartext => 80,
            Transport::Tls { .. } => 443,
            Transport::Passthrough { port } => *port,
        }
    }
}

/// Whether an origin may take the value of this header for the method. Behind a gateway that passes headers as
/// variables (CGI, RFC 3875 section 4.1.18) `-` and `_` are one.
fn is_method_override(name: &[u8]) -> bool {
    let is = |known: &[u8]| {
        name.len() == known.len()
            && name.iter().zip(known).all(|(byte, known)| byte == known || (*byte, *known) == (b'_', b'-'))
    };
    is(b"x-http-method-override") || is(b"x-http-method") || is(b"x-method-override")
}

/// Whether a `content-length` says that there is no body (RFC 9110 section 8.6).
fn is_zero(length: &[u8]) -> bool {
    !length.is_empty() && length.iter().all(|digit| *digit == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'r>(headers: &[(&'r str, &'r str)]) -> Request<'r> {
        let get = [(":method", "GET"), (":authority", "a.example"), (":path", "/")];
        let all = get.iter().chain(headers);
        Request::from_headers(all.map(|(name, value)| (name.as_bytes(), value.as_bytes())), true)
    }

    #[test]
    fn what_a_header_says() {
        let plain = read(&[]);
        assert_eq!((plain.method, plain.authority, plain.path), (&b"GET"[..], &b"a.example"[..], &b"/"[..]));
        assert!(!plain.body && !plain.upgrade && !plain.method_override);
        for name in ["x-http-method", "x_http_method_override", "x-method_override", "x_http-method"] {
            assert!(read(&[(name, "")]).method_override, "{name}");
        }
        for name in ["x-http-methods", "xhttpmethod", "-http-method", "x.http.method"] {
            assert!(!read(&[(name, "PUT")]).method_override, "{name}");
        }
        for (name, value, body) in [
            ("content-length", "5", true),
            ("content-length", "0", false),
            ("content-length", "000", false),
            ("content-length", "", true),
            ("content-length", "0x", true),
            ("content-length", "-0", true),
            ("transfer-encoding", "", true),
            ("content-type", "text/plain", false),
        ] {
            assert_eq!(read(&[(name, value)]).body, body, "{name}: {value:?}");
        }
        assert!(read(&[("upgrade", "websocket")]).upgrade && read(&[(":protocol", "websocket")]).upgrade);
        let repeated =
            read(&[("content-type", "a/b"), ("content-type", "c/d"), ("x-request-id", "1"), ("x-request-id", "2")]);
        assert_eq!((repeated.content_type, repeated.id), (&b"a/b"[..], &b"1"[..]));
    }

    #[test]
    fn a_contradiction_leaves_no_authority() {
        assert_eq!(read(&[("host", "a.example")]).authority, b"a.example");
        for again in [
            &[("host", "b.example")][..],
            &[("host", "a.example"), ("host", "a.example")],
            &[(":authority", "a.example")],
            &[(":path", "/x")],
            &[(":method", "GET")],
        ] {
            assert_eq!(read(again).authority, b"", "{again:?}");
        }
        let host_alone = Request::from_headers([(&b":method"[..], &b"GET"[..]), (b"host", b"a.example")], true);
        assert_eq!(host_alone.authority, b"");
    }

    #[test]
    fn what_follows_is_a_body_unless_it_is_a_tunnel() {
        for (headers, body) in [
            (&[(":method", "GET")][..], true),
            (&[(":method", "CONNECT")], false),
            (&[(":method", "GET"), ("upgrade", "websocket")], false),
            (&[(":method", "CONNECT"), ("transfer-encoding", "chunked")], true),
        ] {
            let pairs = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            assert_eq!(Request::from_headers(pairs, false).body, body, "{headers:?}");
        }
    }
}
