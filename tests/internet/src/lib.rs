//! The stand-in for the internet: one local server that answers for every name.
//!
//! The demo and the tests send every allowed request here, so it receives what passed the proxy. Its answers name it,
//! so that none looks like the proxy's own; only `/forge` imitates one.
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
//! A CONNECT tunnel ends here as well: its inside is HTTP to the same server. With [`StandIn::with_tls`] the same port
//! also speaks TLS to clients that begin with it: HTTP/2 and HTTP/1.1, with a certificate for any requested name.

mod answer;
mod certificates;
mod received;
mod serve;

pub use received::{Arrival, Received};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use self::certificates::Certificates;
use self::received::{Log, lock};

/// A running stand-in, stopped when this is dropped.
pub struct StandIn {
    address: SocketAddr,
    received: Log,
    ca: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Starts one on a free port of 127.0.0.2, or of 127.0.0.1 if the system has no other loopback address.
    ///
    /// # Errors
    /// The system cannot provide a port or a thread.
    pub fn start() -> io::Result<Self> {
        Self::launch(None)
    }

    /// The same with TLS. Its certificates come from its own CA, generated for this run: [`StandIn::ca_pem`]. Names
    /// that begin with `self-signed.`, `expired.` or `wrong-name.` get a certificate with that defect.
    ///
    /// # Errors
    /// As [`StandIn::start`], or no certificate can be generated.
    pub fn with_tls() -> io::Result<Self> {
        Self::launch(Some(Certificates::new()?))
    }

    fn launch(certificates: Option<Certificates>) -> io::Result<Self> {
        let ca = certificates.as_ref().map(|certificates| certificates.ca_pem().to_owned());
        let tls = certificates.map(serve::acceptor).transpose()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0))
            .or_else(|_| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let received = Log::default();
        let (stop, stopped) = oneshot::channel();
        let log = Arc::clone(&received);
        let server = std::thread::Builder::new().name("weir-stand-in".into()).spawn(move || {
            tokio::task::LocalSet::new().block_on(&runtime, async {
                tokio::task::spawn_local(serve::serve(listener, tls, log));
                let _ = stopped.await;
            });
        })?;
        Ok(Self { address, received, ca, stop: Some(stop), server: Some(server) })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its CA (PEM), if it speaks TLS: clients have to trust it.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// What it received so far. A request is listed once its body is complete.
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
