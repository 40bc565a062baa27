//! The stand-in's port: accepts connections, detects whether they begin with TLS, and serves HTTP on them.

use std::pin::pin;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::answer::answer;
use crate::certificates::Certificates;
use crate::received::Log;

/// The first byte of a TLS record with a `ClientHello` (RFC 8446 section 5.1). No HTTP begins with it.
const HANDSHAKE: u8 = 22;

pub(crate) fn acceptor(certificates: Certificates) -> std::io::Result<TlsAcceptor> {
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

pub(crate) async fn serve(listener: std::net::TcpListener, tls: Option<TlsAcceptor>, log: Log) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        // An error means that the client has disconnected already, or that no file descriptor is free at the moment.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::task::spawn_local(connection(stream, tls.clone(), Arc::clone(&log)));
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, log: Log) {
    let mut first = [0];
    match tls {
        Some(tls) if matches!(stream.peek(&mut first).await, Ok(1)) && first == [HANDSHAKE] => {
            let Ok(stream) = tls.accept(stream).await else { return };
            let (_, session) = stream.get_ref();
            let server_name = session.server_name().unwrap_or_default().to_owned();
            let http2 = session.alpn_protocol() == Some(b"h2");
            http(stream, Some(server_name), http2, log).await;
        }
        _ => http(stream, None, false, log).await,
    }
}

async fn http<S>(stream: S, server_name: Option<String>, http2: bool, log: Log)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    let service = hyper::service::service_fn(move |request| answer(request, server_name.clone(), Arc::clone(&log)));
    if http2 {
        let _ = hyper::server::conn::http2::Builder::new(Local).serve_connection(stream, service).await;
    } else {
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).with_upgrades();
        let _ = pin!(connection).await;
    }
}

/// Runs the tasks of an HTTP/2 connection on this same thread.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
