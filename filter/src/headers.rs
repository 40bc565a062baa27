//! What a decision needs to know of a request, found in one walk over its headers.
//!
//! Nothing is copied. Where the headers contradict each other the authority is left empty, which
//! every policy refuses: two readers of such a request would not agree on where it goes.

use weir_policy::Request;

use crate::pairs;

/// A request, and the id that the audit record names it by.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen<'b> {
    /// The request, its transport not yet looked at.
    pub(crate) request: Request<'b>,
    /// `x-request-id`; empty when absent.
    pub(crate) request_id: &'b [u8],
}

/// Reads the header map in `buffer`; `None` when it cannot be read.
///
/// `end_of_stream` is Envoy's word that nothing follows the headers. It is false for every tunnel
/// and upgrade too, whether or not a byte follows, so it says nothing about those.
pub(crate) fn read(buffer: &[u8], end_of_stream: bool) -> Option<Seen<'_>> {
    let mut seen = Seen::default();
    let mut contradiction = false;
    let (mut method, mut authority, mut path, mut host) = (None, None, None, None);
    let (mut content_type, mut request_id) = (None, None);

    let request = &mut seen.request;
    // Envoy keeps header names in lower case, whatever the client wrote.
    pairs::decode(buffer, |name, value| match name {
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
        b"x-request-id" => _ = request_id.get_or_insert(value),
        _ => request.method_override |= is_method_override(name),
    })?;

    contradiction |= host.is_some_and(|host| authority != Some(host));
    if !contradiction {
        request.authority = authority.unwrap_or_default();
    }
    request.method = method.unwrap_or_default();
    request.path = path.unwrap_or_default();
    request.content_type = content_type.unwrap_or_default();
    request.body |= !end_of_stream && !request.upgrade && !request.is_connect();
    seen.request_id = request_id.unwrap_or_default();
    Some(seen)
}

/// Whether an origin may take the value of this header for the method. Behind a gateway that passes
/// headers as variables (CGI, RFC 3875 section 4.1.18) `-` and `_` are one.
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
