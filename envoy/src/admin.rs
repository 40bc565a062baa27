//! Envoy's admin interface, as far as the launcher needs it.
//!
//! A few lines replace an HTTP library: the server is our own child on loopback. It must never wait without a limit.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Result};

const LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn request(address: SocketAddr, method: &str, path: &str) -> Result<String> {
    let failed = |e: std::io::Error| Error::Admin(format!("{method} {path}: {e}"));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).map_err(failed)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(failed)?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    // In one piece: of several the second may wait until Envoy has acknowledged the first, which takes it 40 ms.
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    let broken = || Error::Admin(format!("{method} {path}: the answer is not HTTP"));
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(broken)?;
    let (head, body) = answer.split_at(split);
    let body = body.get(4..).ok_or_else(broken)?;
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = head.split(' ').nth(1).ok_or_else(broken)?;
    let body =
        if head.contains("transfer-encoding: chunked") { unchunked(body).ok_or_else(broken)? } else { body.to_vec() };
    let body = String::from_utf8_lossy(&body).into_owned();
    if status != "200" {
        return Err(Error::Admin(format!("{method} {path}: {status} {}", body.trim())));
    }
    Ok(body)
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(str::from_utf8(rest.get(..end)?).ok()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        let start = end + 2;
        body.extend_from_slice(rest.get(start..start + length)?);
        rest = rest.get(start + length + 2..)?;
    }
}

/// Counters and gauges whose name begins with `prefix`.
pub(crate) fn stats(address: SocketAddr, prefix: &str) -> Result<BTreeMap<String, u64>> {
    // Envoy takes a regular expression, in which a dot matches any character; the exact prefix is checked below.
    let plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte));
    let path = if plain { format!("/stats?filter=%5E{prefix}") } else { "/stats".into() };
    let text = request(address, "GET", &path)?;
    Ok(text
        .lines()
        .filter(|line| line.starts_with(prefix))
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect())
}

/// The address of each listener, by name.
pub(crate) fn listeners(address: SocketAddr) -> Result<BTreeMap<String, SocketAddr>> {
    let text = request(address, "GET", "/listeners?format=json")?;
    let document: Value =
        serde_json::from_str(&text).map_err(|mistake| Error::Admin(format!("/listeners: {mistake}")))?;
    let listeners = document.get("listener_statuses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(listeners.iter().filter_map(listener).collect())
}

fn listener(status: &Value) -> Option<(String, SocketAddr)> {
    let socket = status.pointer("/local_address/socket_address")?;
    let port = u16::try_from(socket.get("port_value")?.as_u64()?).ok()?;
    let address = SocketAddr::new(socket.get("address")?.as_str()?.parse().ok()?, port);
    Some((status.get("name")?.as_str()?.to_owned(), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        assert_eq!(unchunked(b"5\r\nLIVE\n\r\n0\r\n\r\n").unwrap(), b"LIVE\n");
        assert_eq!(unchunked(b"2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n").unwrap(), b"ab0123456789");
        assert_eq!(unchunked(b"5\r\nLI"), None);
        assert_eq!(unchunked(b"zz\r\n"), None);
    }
}
