//! The stand-in for the internet: one local server that answers for every name.
//!
//! Demo and tests send every allowed request here ([`crate::Launch::stand_in`]), and what it received is what got through
//! the proxy. It must never answer in a way that could be taken for the proxy's own answer by mistake: its answers name
//! it, but for `/forge`, which tries exactly that.
//!
//! | path | answer |
//! |---|---|
//! | `/bytes/N` | N bytes |
//! | `/status/N` | status N |
//! | `/forge` | 200 with an `x-weir-decision` and an `x-proxy-error` of its own |
//! | `/echo` | the body of the request |
//! | any, with `upgrade: websocket` | 101, then every byte comes back |
//! | any other | 200, `stand-in for HOST` |
//!
//! A CONNECT tunnel ends here as well: what is inside is HTTP to the same server. With [`StandIn::with_tls`] the same port
//! speaks TLS too, to clients that begin with it: HTTP/2 and HTTP/1.1, with a certificate for whatever name is asked for.

mod answer;
mod certificates;
mod serve;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use self::certificates::Certificates;
use crate::error::{Error, Result};

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The first Host header, or the target's authority.
    pub host: String,
    /// The target's path with its query.
    pub path: String,
    /// The headers in the order they came, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body's length in bytes.
    pub body: u64,
    /// How it came.
    pub transport: Transport,
}

/// How a request came to the stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// `HTTP/1.1`, `HTTP/2.0`, ...
    pub protocol: String,
    /// The name that the TLS hello asked for, where it came by TLS.
    pub server_name: Option<String>,
}

impl Received {
    /// The first value of a header, where it is UTF-8; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(own, _)| own == name)?;
        str::from_utf8(value).ok()
    }
}

type Log = Arc<Mutex<Vec<Received>>>;

/// A stand-in that runs, until this is dropped.
pub struct StandIn {
    address: SocketAddr,
    received: Log,
    authority: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Starts one on a free port of 127.0.0.2, or of 127.0.0.1 where the system has no other loopback address.
    ///
    /// # Errors
    /// The system gives no port or no thread.
    pub fn start() -> Result<Self> {
        Self::launch(None)
    }

    /// The same, and it speaks TLS as well. Its certificates are of an authority of its own, made for this run:
    /// [`StandIn::authority_pem`]. Names that begin with `self-signed.`, `expired.` or `wrong-name.` get a certificate
    /// that is what they say.
    ///
    /// # Errors
    /// As [`StandIn::start`], or no certificate can be made.
    pub fn with_tls() -> Result<Self> {
        Self::launch(Some(Certificates::new()?))
    }

    fn launch(certificates: Option<Certificates>) -> Result<Self> {
        let authority = certificates.as_ref().map(|certificates| certificates.authority_pem().to_owned());
        let tls = certificates.map(serve::acceptor).transpose()?;
        let failed = |e: io::Error| Error::io("starting the stand-in", e);
        let listener = std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0))
            .or_else(|_| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let received = Log::default();
        let (stop, stopped) = oneshot::channel();
        let log = Arc::clone(&received);
        let server = std::thread::Builder::new()
            .name("weir-stand-in".into())
            .spawn(move || {
                tokio::task::LocalSet::new().block_on(&runtime, async {
                    tokio::task::spawn_local(serve::serve(listener, tls, log));
                    let _ = stopped.await;
                });
            })
            .map_err(failed)?;
        Ok(Self { address, received, authority, stop: Some(stop), server: Some(server) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its authority (PEM), where it speaks TLS: what a client has to trust.
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// What it received so far. A request is here when its body is.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    /// What it received since the last call.
    pub fn take_received(&self) -> Vec<Received> {
        std::mem::take(&mut *lock(&self.received))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn lock(log: &Log) -> MutexGuard<'_, Vec<Received>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
