//! The secret discovery service (SDS): the gRPC service that Envoy calls.
//!
//! A stream answers with a leaf for each name that the client subscribes to, and again when one is due for renewal. A
//! stream must never end because a name gets no certificate, never buffer more than one answer for a client, and never
//! let one client delay the others.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use self::delta::Delta;
use self::dialect::Dialect;
pub(crate) use self::shared::Shared;
use self::subscription::Subscription;
use self::whole::Whole;
use crate::socket::Socket;
use crate::stats::Counter;

mod delta;
mod dialect;
mod shared;
mod subscription;
mod whole;

const STREAM_SECRETS: &str = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
const DELTA_SECRETS: &str = "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets";
const DELTA_AGGREGATED: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// The largest request: Envoy describes itself in 60 KiB, and requests all names together after a lost connection.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;
/// Streams in one connection. Without ADS Envoy opens one for each name; further ones wait in Envoy, or it reconnects.
const STREAMS: u32 = 20_000;

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
                // The client has disconnected already, or no file descriptor is free at the moment.
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
        let shared = Arc::clone(&self.shared);
        match request.uri().path() {
            STREAM_SECRETS => Box::pin(speak::<Whole>(shared, request)),
            DELTA_SECRETS | DELTA_AGGREGATED => Box::pin(speak::<Delta>(shared, request)),
            _ => Box::pin(async { Ok(Status::unimplemented("only secrets are served here").into_http()) }),
        }
    }
}

async fn speak<D: Dialect>(
    shared: Arc<Shared>,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Infallible> {
    let codec = ProstCodec::<D::Response, D::Request>::default();
    let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(LARGEST_REQUEST), None);
    Ok(grpc.streaming(Method::<D> { shared, dialect: PhantomData }, request).await)
}

struct Method<D> {
    shared: Arc<Shared>,
    dialect: PhantomData<D>,
}

impl<D: Dialect> StreamingService<D::Request> for Method<D> {
    type Response = D::Response;
    type ResponseStream = ReceiverStream<Result<D::Response, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<D::Request>>) -> Self::Future {
        // Room for one answer: the issuer mints no more for a client that does not read.
        let (answers, receiver) = mpsc::channel(1);
        tokio::spawn(converse::<D>(Arc::clone(&self.shared), request.into_inner(), answers));
        std::future::ready(Ok(Response::new(ReceiverStream::new(receiver))))
    }
}

/// Serves one stream until it ends.
async fn converse<D: Dialect>(
    shared: Arc<Shared>,
    mut requests: Streaming<D::Request>,
    answers: mpsc::Sender<Result<D::Response, Status>>,
) {
    let _open = Open::new(&shared.counters.streams);
    let mut subscription = Subscription::new(&shared);
    let mut dialect = D::default();
    loop {
        tokio::select! {
            () = answers.closed() => return,
            request = requests.message() => {
                let Ok(Some(request)) = request else { return };
                if let Err(status) = dialect.take(&mut subscription, request) {
                    let _ = answers.send(Err(status)).await;
                    return;
                }
            }
            () = subscription.due() => {}
        }
        if let Some(answer) = dialect.answer(&mut subscription).await
            && answers.send(Ok(answer)).await.is_err()
        {
            return;
        }
    }
}

/// Counts a stream while it is open.
struct Open<'a>(&'a Counter);

impl<'a> Open<'a> {
    fn new(counter: &'a Counter) -> Self {
        counter.add();
        Self(counter)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.subtract();
    }
}

#[cfg(test)]
mod tests;
