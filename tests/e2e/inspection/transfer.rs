//! Large bodies, upgrades, and the lifetime of a tunnel.

use weir_tests::tls;

use super::*;

const LARGE: usize = 50_000_000;

#[test]
fn fifty_megabytes_both_ways() {
    let proxy = Inspecting::start(ALL_METHODS);
    // A sequence without repetition, so that a lost or doubled part is detected.
    let mut state = 88_172_645_463_325_252_u64;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(LARGE)
    .collect();
    let mut inside = proxy.http1("example.com");
    let head = format!("POST /echo HTTP/1.1\r\nhost: example.com\r\ncontent-length: {LARGE}\r\n\r\n");
    inside.send(head.as_bytes()).send(&body);
    let answer = passed(inside.answer(b"POST"));
    assert_eq!(answer.body.len(), LARGE);
    assert!(answer.body == body, "the bytes differ");
    let mut inside = proxy.http2("example.com");
    let answer = passed(inside.exchange(&fields("GET", "example.com", &format!("/bytes/{LARGE}"))));
    assert!(answer.body.len() == LARGE && answer.body.iter().all(|byte| *byte == 0));
}

fn websocket(host: &str) -> Vec<u8> {
    format!(
        "GET /socket HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn websockets() {
    let mut proxy = Inspecting::start(ALL_METHODS);
    let mut inside = proxy.http1("example.com");
    let opened = inside.exchange(b"GET", &websocket("example.com"));
    assert_eq!(opened.status(), Some(101), "{opened}");
    let mut stream = inside.into_stream();
    let mut echo = [0; 4];
    stream.write_all(b"ping").and_then(|()| stream.flush()).expect("a stream");
    stream.read_exact(&mut echo).expect("an echo");
    assert_eq!(&echo, b"ping");

    let mut inside = proxy.http2("example.com");
    let mut extended = fields("CONNECT", "example.com", "/socket");
    extended.insert(1, (b":protocol", b"websocket"));
    extended.push((b"sec-websocket-version", b"13"));
    let stream = inside.headers(&extended, false);
    assert_eq!(inside.head(stream).status(), Some(200));
    inside.data(stream, b"ping", false);
    assert_eq!(inside.body_of(stream, 4).expect_answer().body, b"ping");
    let received = proxy.internet.take_received();
    assert!(received.len() == 2 && received.iter().all(|request| request.path == "/socket"), "{received:?}");

    weir_tests::proxy::ok(proxy.envoy.set_policy(READ_ONLY));
    refused(proxy.http1("example.com").exchange(b"GET", &websocket("example.com")), "upgrade-not-allowed");
    let mut inside = proxy.http2("example.com");
    let stream = inside.headers(&extended, false);
    refused(inside.answer(stream), "upgrade-not-allowed");
    origin_saw_nothing(&proxy);
}

#[test]
fn a_tunnel_ends() {
    let lifetime = std::time::Duration::from_secs(1);
    let proxy =
        Inspecting::with(|launch, internet| launch.policy(ALL_METHODS).stand_in(internet).tunnel_lifetime(lifetime));
    let tls = tls::trusting(proxy.tunnel("example.com:443"), "example.com", "http/1.1", &proxy.ca_pem);
    let mut inside = Connection::over(tls);
    passed(get(&mut inside, "example.com", "/"));
    // The client sends nothing more; the read waits far longer than the tunnel's lifetime.
    assert_eq!(inside.answer(b"GET"), Outcome::Closed);
}
