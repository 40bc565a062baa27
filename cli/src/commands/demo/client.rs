//! A client that writes its request byte for byte. A library would tidy what the demo has to show.

use std::fmt::{Display, Write as _};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

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
    /// Whether it came through a tunnel that opened.
    pub(super) is_from_inside: bool,
}

impl Answer {
    #[cfg(test)]
    pub(super) fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status, headers, body: body.to_owned(), is_from_inside: false }
    }

    /// The value of a header, its name in lower case; joined where it stands there several times.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// A client that obeys a proxy.
pub(super) struct Client {
    tls: Arc<ClientConfig>,
}

impl Client {
    /// It takes the certificates of these authorities (PEM) and of no others.
    pub(super) fn trusting(authorities: &[&str]) -> Result<Client, String> {
        let failed = |error: &dyn Display| format!("the demo's client cannot speak TLS: {error}");
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            let certificate = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Client { tls: Arc::new(config) })
    }

    /// Sends the request of `row` to the proxy: an https one through a tunnel, and by TLS. Where the tunnel is refused,
    /// that is the answer.
    pub(super) fn send(&self, proxy: SocketAddr, row: &Row) -> Result<Answer, String> {
        self.exchange(proxy, row).map_err(|error| format!("no answer: {error}"))
    }

    fn exchange(&self, proxy: SocketAddr, row: &Row) -> io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&proxy, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let Some(url) = row.target.strip_prefix("https://") else {
            let host = if row.method == "CONNECT" { row.target } else { authority(row.target) };
            stream.write_all(request(row, row.target, host).as_bytes())?;
            return read(&mut BufReader::new(stream), row.method == "CONNECT");
        };
        let name = authority(url);
        write!(stream, "CONNECT {name}:443 HTTP/1.1\r\nhost: {name}:443\r\n\r\n")?;
        // Nothing follows the answer before the client says something, so nothing is read too early.
        let answer = read(&mut BufReader::new(&stream), true)?;
        if answer.status != 200 {
            return Ok(answer);
        }
        let server_name = ServerName::try_from(name).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&self.tls), server_name).map_err(io::Error::other)?;
        let mut inside = StreamOwned::new(session, stream);
        let path = url.strip_prefix(name).unwrap_or_default();
        inside.write_all(request(row, path, row.host).as_bytes())?;
        let answer = read(&mut BufReader::new(inside), false)?;
        Ok(Answer { is_from_inside: true, ..answer })
    }
}

fn request(row: &Row, target: &str, host: &str) -> String {
    let mut request = format!("{} {target} HTTP/1.1\r\nhost: {host}\r\n", row.method);
    for header in row.headers {
        let _ = write!(request, "{header}\r\n");
    }
    if !row.body.is_empty() {
        let _ = write!(request, "content-length: {}\r\n", row.body.len());
    }
    let _ = write!(request, "\r\n{}", row.body);
    request
}

/// The authority of a URL.
fn authority(url: &'static str) -> &'static str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn read(stream: &mut impl BufRead, is_tunnel: bool) -> io::Result<Answer> {
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
    let mut answer = Answer { status, headers, body: String::new(), is_from_inside: false };
    let length = answer.header("content-length").map(str::parse::<u64>);
    let length = match length {
        _ if is_tunnel && status == 200 => 0,
        Some(length) => length.map_err(|_| broken())?.min(MAX_BODY),
        None => MAX_BODY,
    };
    stream.take(length).read_to_string(&mut answer.body)?;
    Ok(answer)
}
