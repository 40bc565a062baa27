//! The request of a decision case, and the same as `weir-policy` takes it.

use serde::Deserialize;
use weir_policy::{Request, Transport};

use crate::bytes::Bytes;

/// Headers by which a client asks an origin to take a request for another method.
pub const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// The request of a case, with what is absent from the table filled in by its accessors.
#[derive(Debug, Deserialize)]
pub struct RequestCase {
    method: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    /// Further headers, in order, names in lower case.
    #[serde(default)]
    pub headers: Vec<(String, Bytes)>,
    /// The request carries, or may carry, a body.
    #[serde(default)]
    pub body: bool,
    framing: Option<Framing>,
    /// The protocol of an upgrade that is asked for.
    pub upgrade: Option<String>,
    /// The server name of the TLS connection on which the request came.
    pub tls: Option<Bytes>,
    /// What HTTP/1.1 sends, byte for byte, where that is more than the parts above; Envoy makes these of it.
    pub bytes: Option<Bytes>,
    /// The same for HTTP/2: its fields in their order.
    pub fields: Option<Vec<(String, Bytes)>>,
}

/// How a body is framed on the wire.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// `content-length: 5` and five bytes.
    Length,
    /// Chunked, five bytes.
    Chunked,
    /// Chunked, no bytes.
    ChunkedEmpty,
    /// No body, `content-length: 0`.
    ZeroLength,
}

impl RequestCase {
    /// `:method`.
    pub fn method(&self) -> &[u8] {
        self.method.as_deref().unwrap_or(b"GET")
    }

    /// `:authority`; `None` where the request has none at all.
    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.as_deref()
    }

    /// `:path` with its query; `None` where the request has none.
    pub fn path(&self) -> Option<&[u8]> {
        match &self.path {
            Some(path) => Some(path),
            None if self.method() == b"CONNECT" => None,
            None => Some(b"/"),
        }
    }

    /// How a body is framed; `None` without one.
    pub fn framing(&self) -> Option<Framing> {
        self.framing.or(self.body.then_some(Framing::Length))
    }

    /// The request as the decision takes it, read from the headers that Envoy would show.
    pub fn to_request(&self) -> Request<'_> {
        let pseudo = [
            (":method", Some(self.method())),
            (":authority", self.authority()),
            (":path", self.path()),
            ("upgrade", self.upgrade.as_deref().map(str::as_bytes)),
        ];
        let framing = self.framing();
        let body = match framing {
            None => None,
            Some(Framing::Length) => Some(("content-length", &b"5"[..])),
            Some(Framing::ZeroLength) => Some(("content-length", &b"0"[..])),
            Some(Framing::Chunked | Framing::ChunkedEmpty) => Some(("transfer-encoding", &b"chunked"[..])),
        };
        let headers = pseudo
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .chain(body)
            .chain(self.headers.iter().map(|(name, value)| (name.as_str(), &**value)));
        let end_of_stream = matches!(framing, None | Some(Framing::ZeroLength));
        let mut request = Request::from_headers(headers.map(|(name, value)| (name.as_bytes(), value)), end_of_stream);
        if let Some(server_name) = &self.tls {
            request.transport = Transport::Tls { server_name };
        }
        request
    }
}
