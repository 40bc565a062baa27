//! TLS to the proxy itself: a certificate generated for the run, and a client that sends any server name, or none.
//!
//! The client checks no certificate: these tests are about how Envoy treats the name, not about the client.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned, WantsVerifier,
};

use crate::http1::{Stream, dial};

/// Writes a certificate and its key into `folder`, and returns both paths.
pub fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["proxy.example.net".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    (certificate, key)
}

/// A TLS connection with this server name (empty: none), speaking `protocol` (`h2` or `http/1.1`).
pub fn dial_tls(address: SocketAddr, server_name: &str, protocol: &str) -> Box<dyn Stream> {
    over(Box::new(dial(address)), server_name, protocol)
}

/// The same over an existing stream.
pub fn over(stream: Box<dyn Stream>, server_name: &str, protocol: &str) -> Box<dyn Stream> {
    let provider = Arc::new(ring::default_provider());
    let checks = Arc::new(Anything(provider.signature_verification_algorithms));
    let config = config(provider).dangerous().with_custom_certificate_verifier(checks).with_no_client_auth();
    Box::new(StreamOwned::new(client(config, server_name, protocol), stream))
}

/// The same for a client that trusts only the certificates of this CA (PEM), as a user's client does.
pub fn trusting(stream: Box<dyn Stream>, server_name: &str, protocol: &str, ca: &str) -> Box<dyn Stream> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(ca.as_bytes()).expect("a certificate");
    roots.add(certificate).expect("a root");
    let config = config(Arc::new(ring::default_provider())).with_root_certificates(roots).with_no_client_auth();
    Box::new(StreamOwned::new(client(config, server_name, protocol), stream))
}

fn client(mut config: ClientConfig, server_name: &str, protocol: &str) -> ClientConnection {
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config.enable_sni = !server_name.is_empty();
    let name = if server_name.is_empty() { "unused.example" } else { server_name };
    let name = ServerName::try_from(name.to_owned()).unwrap_or_else(|_| panic!("{name:?} is not a server name"));
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

fn config(provider: Arc<CryptoProvider>) -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("protocol versions")
}

/// Accepts every certificate.
#[derive(Debug)]
struct Anything(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
