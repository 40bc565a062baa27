//! A TLS client that trusts one CA.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The time limit of each read and write.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    config: Arc<ClientConfig>,
}

/// An answer over TLS.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The leaf's serial number in hexadecimal digits.
    pub(crate) serial: String,
    /// The whole HTTP answer.
    pub(crate) text: String,
}

impl Client {
    pub(crate) fn new(ca_pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Self { config: Arc::new(config) }
    }

    /// Sends one request on a new connection.
    pub(crate) fn get(&self, address: SocketAddr, name: &str) -> io::Result<Answer> {
        let mut stream = self.open(address, name)?;
        write!(stream, "GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        let mut buffer = [0; 1024];
        // Envoy keeps the connection open for a second after its answer.
        while !text.ends_with("opened\n") {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            text.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap()));
        }
        let leaf = stream.conn.peer_certificates().unwrap().first().unwrap().clone();
        let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        Ok(Answer { serial: leaf.raw_serial_as_string(), text })
    }

    /// A connection after its handshake.
    pub(crate) fn open(&self, address: SocketAddr, name: &str) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }
}
