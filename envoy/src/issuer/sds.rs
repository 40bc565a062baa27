//! Secret discovery (SDS): the gRPC service that Envoy asks.
//!
//! A stream answers with a leaf for each name that it subscribes to, and again when one is due for renewal. It must never
//! end because of a name that gets no certificate, never hold more for a client than one answer, and never let one client
//! keep the others waiting.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::Settings;
use super::authority::CertificateAuthority;
use super::cache::Cache;
use super::error::Error;
use super::leaf::Leaf;
use super::message::{DiscoveryRequest, DiscoveryResponse};
use super::names::HostName;
use super::socket::Socket;
use super::stats::{Counters, Stats};
use state::Subscription;

mod state;

const STREAM_SECRETS: &str = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
/// The largest request: Envoy's holds one name and a description of itself.
const LARGEST_REQUEST: usize = 256 * 1024;
/// Streams in one connection. Envoy opens one for each name; more than these wait in Envoy, or it connects again.
const STREAMS: u32 = 20_000;

/// What all streams share.
pub(crate) struct Shared {
    authority: CertificateAuthority,
    life: Duration,
    cache: Mutex<Cache>,
    counters: Counters,
    versions: AtomicU64,
    began: u128,
}

impl Shared {
    pub(crate) fn new(authority: CertificateAuthority, settings: &Settings) -> Self {
        Self {
            authority,
            life: settings.leaf_life,
            cache: Mutex::new(Cache::new(settings.cached)),
            counters: Counters::default(),
            versions: AtomicU64::new(0),
            began: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        Stats {
            minted: counters.minted.get(),
            renewed: counters.renewed.get(),
            refused: counters.refused.get(),
            failed: counters.failed.get(),
            rejected: counters.rejected.get(),
            cached: self.cache().len() as u64,
            streams: counters.streams.get(),
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version that no answer of this or an earlier issuer had.
    fn version(&self) -> String {
        format!("{}-{}", self.began, self.versions.fetch_add(1, Ordering::Relaxed))
    }

    /// The leaf for a name, a new one if it is due.
    fn leaf(&self, name: &HostName) -> Result<Arc<Leaf>, Error> {
        let known = self.cache().get(name);
        let renewed = match known {
            Some(leaf) if !leaf.is_due() => return Ok(leaf),
            known => known.is_some(),
        };
        let leaf = self.authority.mint(name, self.life).map(Arc::new).inspect_err(|error| match error {
            Error::NotPermitted(_) => self.counters.refused.add(),
            _ => self.counters.failed.add(),
        })?;
        self.counters.minted.add();
        if renewed {
            self.counters.renewed.add();
        }
        self.cache().put(name, Arc::clone(&leaf));
        Ok(leaf)
    }
}

/// Serves until it is dropped.
pub(crate) async fn serve(socket: &Socket, shared: Arc<Shared>) {
    let Ok(listener) = socket.listener.try_clone().and_then(UnixListener::from_std) else { return };
    let (accepted, incoming) = mpsc::channel::<Result<UnixStream, Infallible>>(1);
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if accepted.send(Ok(stream)).await.is_err() {
                        return;
                    }
                }
                // A connection that is gone again, or no file descriptor left for the moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS)
        .serve_with_incoming(Sds { shared }, ReceiverStream::new(incoming));
    tokio::select! {
        () = accept => {}
        _ = server => {}
    }
}

#[derive(Clone)]
struct Sds {
    shared: Arc<Shared>,
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl Service<http::Request<Body>> for Sds {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        if request.uri().path() != STREAM_SECRETS {
            return Box::pin(async { Ok(Status::unimplemented("only StreamSecrets is served here").into_http()) });
        }
        let method = StreamSecrets { shared: Arc::clone(&self.shared) };
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default()).apply_max_message_size_config(Some(LARGEST_REQUEST), None);
            Ok(grpc.streaming(method, request).await)
        })
    }
}

struct StreamSecrets {
    shared: Arc<Shared>,
}

type Sender = mpsc::Sender<Result<DiscoveryResponse, Status>>;

impl StreamingService<DiscoveryRequest> for StreamSecrets {
    type Response = DiscoveryResponse;
    type ResponseStream = ReceiverStream<Result<DiscoveryResponse, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<DiscoveryRequest>>) -> Self::Future {
        // Room for one answer: a client that does not read gets no more made for it.
        let (answers, receiver) = mpsc::channel(1);
        tokio::spawn(converse(Arc::clone(&self.shared), request.into_inner(), answers));
        std::future::ready(Ok(Response::new(ReceiverStream::new(receiver))))
    }
}

/// One stream, to its end.
async fn converse(shared: Arc<Shared>, mut requests: Streaming<DiscoveryRequest>, answers: Sender) {
    shared.counters.streams.add();
    let mut subscription = Subscription::new(&shared);
    loop {
        let answer = tokio::select! {
            () = answers.closed() => break,
            request = requests.message() => match request {
                Ok(Some(request)) => subscription.take(request).await,
                Ok(None) | Err(_) => break,
            },
            () = subscription.due() => Ok(subscription.renew().await),
        };
        let failed = answer.is_err();
        if let Some(answer) = answer.transpose()
            && (answers.send(answer).await.is_err() || failed)
        {
            break;
        }
    }
    shared.counters.streams.subtract();
}
