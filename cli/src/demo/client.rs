//! A client that writes its request byte for byte. A library would tidy what the demo has to show.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::script::Row;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(10);

/// More than any answer here has.
const MAX_BODY: u64 = 1 << 20;

/// An answer of the proxy.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    #[cfg(test)]
    pub(super) fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status, headers, body: body.to_owned() }
    }

    /// The value of a header, its name in lower case; joined where it stands there several times.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Sends the request of `row` to the proxy. Where it is a CONNECT that is answered 200, the answer is
/// that of a request through the tunnel.
pub(super) fn send(proxy: SocketAddr, row: &Row) -> Result<Answer, String> {
    exchange(proxy, row).map_err(|error| format!("no answer: {error}"))
}

fn exchange(proxy: SocketAddr, row: &Row) -> io::Result<Answer> {
    let mut stream = BufReader::new(TcpStream::connect_timeout(&proxy, LIMIT)?);
    stream.get_ref().set_read_timeout(Some(LIMIT))?;
    stream.get_ref().set_write_timeout(Some(LIMIT))?;
    let is_tunnel = row.method == "CONNECT";
    let mut request = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", row.method, row.target, authority(row));
    for header in row.headers {
        let _ = write!(request, "{header}\r\n");
    }
    if !row.body.is_empty() {
        let _ = write!(request, "content-length: {}\r\n", row.body.len());
    }
    let _ = write!(request, "\r\n{}", row.body);
    stream.get_mut().write_all(request.as_bytes())?;
    let answer = read(&mut stream, is_tunnel)?;
    if !is_tunnel || answer.status != 200 {
        return Ok(answer);
    }
    // In plain HTTP, so that the stand-in needs no certificate: a proxy that does not look into a
    // tunnel cannot tell.
    let host = row.host;
    write!(stream.get_mut(), "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    read(&mut stream, false)
}

/// What the Host header of the row is: the target's authority.
fn authority(row: &Row) -> &'static str {
    let rest = row.target.split_once("://").map_or(row.target, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn read(stream: &mut BufReader<TcpStream>, is_tunnel: bool) -> io::Result<Answer> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP/1.1 answer");
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let mut headers: Vec<(String, String)> = Vec::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken());
        }
        if line.trim_end().is_empty() {
            break;
        }
        let (name, value) = line.trim_end().split_once(':').ok_or_else(broken)?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        match headers.iter_mut().find(|(earlier, _)| *earlier == name) {
            Some((_, values)) => {
                let _ = write!(values, ", {value}");
            }
            None => headers.push((name, value.to_owned())),
        }
    }
    let mut answer = Answer { status, headers, body: String::new() };
    let length = answer.header("content-length").map(str::parse::<u64>);
    let length = match length {
        _ if is_tunnel && status == 200 => 0,
        Some(length) => length.map_err(|_| broken())?.min(MAX_BODY),
        None => MAX_BODY,
    };
    stream.take(length).read_to_string(&mut answer.body)?;
    Ok(answer)
}
