//! What a client other than Envoy can do to the issuer: a raw gRPC client that breaks every convention.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use tempfile::TempDir;
use tonic::Code;
use tonic::client;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::ca::CertificateAuthority;
use crate::message::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, RpcStatus, SECRET_TYPE, Secret,
};
use crate::stats::Stats;
use crate::{Issuer, Options};

struct Setup {
    issuer: Issuer,
    _folder: TempDir,
}

impl Setup {
    fn new(options: &Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = CertificateAuthority::create(&folder.path().join("ca"), options).unwrap();
        let issuer = Issuer::start(ca, &folder.path().join("s")).unwrap();
        Self { issuer, _folder: folder }
    }

    async fn connect(&self) -> Channel {
        self.endpoint().connect().await.unwrap()
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("unix://{}", self.issuer.socket().display())).unwrap()
    }

    /// Waits until the counters have the expected values.
    async fn until(&self, right: impl Fn(&Stats) -> bool) {
        let mut tries = 0;
        while !right(&self.issuer.stats()) {
            tries += 1;
            assert!(tries < 3000, "{}", self.issuer.stats());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

type Pair<Q, A> = (mpsc::Sender<Q>, Streaming<A>);

async fn open<Q, A>(channel: &Channel, path: &'static str) -> Result<Pair<Q, A>, Status>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    let (requests, receiver) = mpsc::channel(8);
    let mut grpc = client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Q, A>::default();
    let answer =
        grpc.streaming(Request::new(ReceiverStream::new(receiver)), PathAndQuery::from_static(path), codec).await?;
    Ok((requests, answer.into_inner()))
}

async fn delta(channel: &Channel) -> Pair<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
    open(channel, DELTA_AGGREGATED).await.unwrap()
}

async fn whole(channel: &Channel) -> Pair<DiscoveryRequest, DiscoveryResponse> {
    open(channel, STREAM_SECRETS).await.unwrap()
}

fn subscribe<S: Into<String>>(names: impl IntoIterator<Item = S>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: SECRET_TYPE.into(),
        resource_names_subscribe: names.into_iter().map(Into::into).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn ask<S: Into<String>>(names: impl IntoIterator<Item = S>, nonce: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: SECRET_TYPE.into(),
        resource_names: names.into_iter().map(Into::into).collect(),
        response_nonce: nonce.into(),
        ..DiscoveryRequest::default()
    }
}

fn names(answer: &DiscoveryResponse) -> Vec<String> {
    use prost::Message;
    answer.resources.iter().map(|any| Secret::decode(any.value.as_slice()).unwrap().name).collect()
}

/// Checks that the issuer still serves a leaf.
async fn serves(channel: &Channel, name: &str) {
    let (requests, mut answers) = delta(channel).await;
    requests.send(subscribe([name])).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.resources.first().unwrap().name, name);
}

#[tokio::test]
async fn odd_names_are_refused_one_by_one() {
    let setup = Setup::new(&Options::default());
    let channel = setup.connect().await;
    let long = "a".repeat(100_000);
    let odd = [
        "",
        ".",
        "*",
        "*.example.com",
        "10.0.0.1",
        "::1",
        "[::1]",
        "0x7f.1",
        "a\0.example",
        "A.example",
        "b\u{fc}cher.example",
        "a b",
        "a\r\nb",
        "-a.example",
        "a..b",
        "example.com.",
        "example.com:443",
        "../../etc/passwd",
        "a,b",
        "a%2e",
        &long,
    ];
    let (requests, mut answers) = delta(&channel).await;
    let all = odd.into_iter().chain(["good.example", "xn--bcher-kva.example"]);
    requests.send(subscribe(all)).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.removed_resources, odd);
    let given: Vec<&str> = answer.resources.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(given, ["good.example", "xn--bcher-kva.example"]);
    assert_eq!(setup.issuer.stats().refused, odd.len() as u64);

    // The other protocol omits them, and the stream stays open.
    let (requests, mut answers) = whole(&channel).await;
    requests.send(ask(["*", "good.example"], "")).await.unwrap();
    assert_eq!(names(&answers.message().await.unwrap().unwrap()), ["good.example"]);
}

#[tokio::test]
async fn a_name_outside_the_constraints_is_refused() {
    let setup = Setup::new(&Options { name_constraints: vec!["example.com".into()], ..Options::default() });
    let channel = setup.connect().await;
    let (requests, mut answers) = delta(&channel).await;
    requests.send(subscribe(["a.example.org", "a.example.com"])).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.removed_resources, ["a.example.org"]);
    assert_eq!(answer.resources.len(), 1);
    let stats = setup.issuer.stats();
    assert_eq!((stats.minted, stats.refused, stats.failed), (1, 1, 0));
}

#[tokio::test]
async fn too_much_at_once_ends_the_stream_alone() {
    let setup = Setup::new(&Options::default());
    let channel = setup.connect().await;

    let (requests, mut answers) = delta(&channel).await;
    requests.send(subscribe(["a".repeat(10 << 20)])).await.unwrap();
    assert!(answers.message().await.is_err() || answers.message().await.unwrap().is_none());
    serves(&channel, "one.example").await;

    let (requests, mut answers) = delta(&channel).await;
    requests.send(subscribe((0..100_000).map(|number| format!("n{number}.example")))).await.unwrap();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::ResourceExhausted);

    let (requests, mut answers) = whole(&channel).await;
    requests.send(ask((0..1000).map(|number| format!("n{number}.example")), "")).await.unwrap();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::ResourceExhausted);

    let (requests, mut answers) = delta(&channel).await;
    requests
        .send(DeltaDiscoveryRequest { type_url: "other".into(), ..DeltaDiscoveryRequest::default() })
        .await
        .unwrap();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);

    let wrong = open::<DiscoveryRequest, DiscoveryResponse>(&channel, "/grpc.health.v1.Health/Watch").await;
    assert_eq!(wrong.unwrap_err().code(), Code::Unimplemented);
    serves(&channel, "two.example").await;
    assert_eq!(setup.issuer.stats().minted, 2);
}

/// A `DiscoveryRequest` whose names need not be UTF-8.
#[derive(Clone, PartialEq, prost::Message)]
struct Bytes {
    #[prost(bytes = "vec", repeated, tag = "3")]
    names: Vec<Vec<u8>>,
}

#[tokio::test]
async fn what_is_no_message_and_no_http_ends_alone() {
    let setup = Setup::new(&Options::default());
    let channel = setup.connect().await;
    let (requests, mut answers) = open::<Bytes, DiscoveryResponse>(&channel, STREAM_SECRETS).await.unwrap();
    requests.send(Bytes { names: vec![b"\xff\xfe".to_vec()] }).await.unwrap();
    assert!(!matches!(answers.message().await, Ok(Some(_))));

    let zeros = vec![0; 100_000];
    for noise in [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], &zeros, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff"] {
        let mut stream = UnixStream::connect(setup.issuer.socket()).unwrap();
        let _ = stream.write_all(noise);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    serves(&channel, "one.example").await;
    assert_eq!(setup.issuer.stats().minted, 1);
}

#[tokio::test]
async fn whoever_does_not_read_gets_little_made_and_holds_up_nobody() {
    let setup = Setup::new(&Options::default());
    // How much is made is a matter of the client's windows. With the defaults it can come close to the bound below; three
    // streams of this size leave the connection room for the one that is read.
    let endpoint = setup.endpoint().initial_connection_window_size(1 << 20).initial_stream_window_size(1 << 18);
    let channel = endpoint.connect().await.unwrap();
    let mut held = Vec::new();
    for stream in 0..3 {
        let (requests, answers) = delta(&channel).await;
        requests.send(subscribe((0..5_000).map(|number| format!("n{number}.s{stream}.example")))).await.unwrap();
        held.push((requests, answers));
    }
    for number in 0..100 {
        serves(&setup.connect().await, &format!("other{number}.example")).await;
    }
    let before = setup.issuer.stats().minted;
    assert!(before < 5000, "{before}");
    // The connection's flow-control window is full, so waiting changes nothing.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(setup.issuer.stats().minted < 5000, "{}", setup.issuer.stats());
    // The client gets everything once it reads.
    let (_requests, mut answers) = held.pop().unwrap();
    let mut given = 0;
    while given < 5_000 {
        given += answers.message().await.unwrap().unwrap().resources.len();
    }
}

#[tokio::test]
async fn streams_are_counted_and_end_with_their_client() {
    let setup = Setup::new(&Options::default());
    let channel = setup.connect().await;
    let mut held = Vec::new();
    for number in 0..1000 {
        let (requests, mut answers) = whole(&channel).await;
        requests.send(ask([format!("n{number}.example")], "")).await.unwrap();
        answers.message().await.unwrap().unwrap();
        held.push((requests, answers));
    }
    let stats = setup.issuer.stats();
    assert_eq!((stats.streams, stats.minted, stats.cached), (1000, 1000, 1000), "{stats}");
    drop(held);
    drop(channel);
    setup.until(|stats| stats.streams == 0).await;

    // The cache still holds the leaves for the next Envoy.
    serves(&setup.connect().await, "n0.example").await;
    assert_eq!(setup.issuer.stats().minted, 1000);
}

#[tokio::test]
async fn a_whole_subscription_is_answered_when_it_changes() {
    let setup = Setup::new(&Options::default());
    let channel = setup.connect().await;
    let (requests, mut answers) = whole(&channel).await;
    requests.send(ask(["a.example"], "")).await.unwrap();
    let first = answers.message().await.unwrap().unwrap();
    assert_eq!((names(&first), first.type_url.as_str()), (vec!["a.example".to_owned()], SECRET_TYPE));
    // The issuer answers neither an ACK, nor a NACK, nor a nonce that it never sent.
    requests.send(ask(["a.example"], &first.nonce)).await.unwrap();
    let error = Some(RpcStatus { code: 3, message: "no".into() });
    requests.send(DiscoveryRequest { error_detail: error, ..ask(["a.example"], &first.nonce) }).await.unwrap();
    requests.send(ask(["stale.example"], "77")).await.unwrap();
    requests.send(ask(["a.example", "b.example"], &first.nonce)).await.unwrap();
    let second = answers.message().await.unwrap().unwrap();
    assert_eq!(names(&second), ["a.example", "b.example"]);
    assert_ne!(second.version_info, first.version_info);
    requests.send(ask(["c.example"], &second.nonce)).await.unwrap();
    assert_eq!(names(&answers.message().await.unwrap().unwrap()), ["c.example"]);
    let stats = setup.issuer.stats();
    assert_eq!((stats.minted, stats.rejected), (3, 1), "{stats}");
}
