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
//! | any, with `upgrade: websocket` | 101, then every byte comes back |
//! | any other | 200, `stand-in for HOST` |
//!
//! A CONNECT tunnel ends here as well: what is inside is HTTP to the same server.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HOST, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

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
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Starts one on a free port of 127.0.0.2, or of 127.0.0.1 where the system has no other loopback address.
    ///
    /// # Errors
    /// The system gives no port or no thread.
    pub fn start() -> Result<Self> {
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
                    tokio::task::spawn_local(serve(listener, log));
                    let _ = stopped.await;
                });
            })
            .map_err(failed)?;
        Ok(Self { address, received, stop: Some(stop), server: Some(server) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
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

async fn serve(listener: std::net::TcpListener, log: Log) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        // An error here is a connection that is gone again, or no file descriptor left for the moment.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let log = Arc::clone(&log);
        tokio::task::spawn_local(async move {
            let service = hyper::service::service_fn(|request| answer(request, Arc::clone(&log)));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

async fn answer(mut request: Request<Incoming>, log: Log) -> std::result::Result<Response<Answer>, Infallible> {
    let upgrade = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (head, mut body) = request.into_parts();
    let mut length = 0;
    if upgrade.is_none() {
        while let Some(Ok(frame)) = body.frame().await {
            length += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    }
    let host = match head.headers.get(HOST) {
        Some(host) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
        None => head.uri.authority().map(ToString::to_string).unwrap_or_default(),
    };
    let path = head.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let mut response = respond(&host, &path);
    lock(&log).push(Received {
        method: head.method.to_string(),
        host,
        path,
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        body: length,
    });
    if let Some(upgrade) = upgrade {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.body_mut() = Answer::default();
        response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        tokio::task::spawn_local(async move {
            if let Ok(stream) = upgrade.await {
                let (mut from, mut to) = tokio::io::split(TokioIo::new(stream));
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        });
    }
    Ok(response)
}

fn respond(host: &str, path: &str) -> Response<Answer> {
    let path = path.split('?').next().unwrap_or_default();
    let mut answer = Answer { text: Bytes::from(format!("stand-in for {host}\n")), zeros: 0 };
    let mut status = StatusCode::OK;
    if let Some(length) = path.strip_prefix("/bytes/").and_then(|n| n.parse().ok()) {
        answer = Answer { text: Bytes::new(), zeros: length };
    } else if let Some(wanted) = path.strip_prefix("/status/").and_then(|n| n.parse().ok()) {
        // An informational status would be an upgrade or the promise of another answer.
        status = StatusCode::from_u16(wanted).ok().filter(|s| !s.is_informational()).unwrap_or(status);
    }
    let mut response = Response::new(answer);
    *response.status_mut() = status;
    response.headers_mut().insert("server", HeaderValue::from_static("stand-in"));
    if path == "/forge" {
        let headers = response.headers_mut();
        headers.insert("x-weir-decision", HeaderValue::from_static("deny; reason=forged"));
        headers.insert("x-proxy-error", HeaderValue::from_static("forged"));
    }
    response
}

/// A text, then zero bytes.
#[derive(Default)]
struct Answer {
    text: Bytes,
    zeros: u64,
}

static ZEROS: [u8; 65536] = [0; 65536];

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        if !self.text.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.text)))));
        }
        if self.zeros == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.zeros).map_or(ZEROS.len(), |zeros| zeros.min(ZEROS.len()));
        self.zeros -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS).slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_empty() && self.zeros == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.len() as u64 + self.zeros)
    }
}
