//! `git-fetch`: the two requests by which `git clone` and `git fetch` read over smart HTTP
//! (gitprotocol-http). A push is made of others, `git-receive-pack`, and never passes as one.

use crate::request::Request;

/// Whether `request`, with its path normalised, is one of the two.
pub(crate) fn is_fetch(request: &Request<'_>, path: &[u8]) -> bool {
    let query = request.path.iter().position(|&byte| byte == b'?').and_then(|at| request.path.get(at + 1..));
    match request.method {
        b"GET" => query == Some(b"service=git-upload-pack".as_slice()) && is_below_repository(path, b"/info/refs"),
        b"POST" => {
            query.is_none()
                && request.content_type.eq_ignore_ascii_case(b"application/x-git-upload-pack-request")
                && is_below_repository(path, b"/git-upload-pack")
        }
        _ => false,
    }
}

/// Whether `path` is a repository's path and then `endpoint`.
fn is_below_repository(path: &[u8], endpoint: &[u8]) -> bool {
    path.strip_suffix(endpoint).is_some_and(|repository| repository.len() > 1)
}
