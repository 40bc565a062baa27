//! The policy applies inside a tunnel.

use weir_tests::connect;

use super::*;

const REFUSED: [&str; 4] = ["POST", "PUT", "DELETE", "PATCH"];

#[test]
fn methods_over_http1() {
    let proxy = Inspecting::start(READ_ONLY);
    let mut inside = proxy.http1("example.com");
    passed(get(&mut inside, "example.com", "/one"));
    let one = only(proxy.internet.take_received());
    assert_eq!((&*one.method, &*one.host, &*one.path), ("GET", "example.com", "/one"));
    assert_eq!(one.arrival.server_name.as_deref(), Some("example.com"));
    for method in REFUSED.into_iter().chain(["get"]) {
        // On the same connection: the refusal of one request does not close it.
        refused(inside.exchange(method.as_bytes(), &request(method, "example.com", "/two")), "method-not-allowed");
    }
    origin_saw_nothing(&proxy);
    passed(get(&mut inside, "example.com", "/three"));
    // A body does not bypass the decision either.
    let body = b"POST /four HTTP/1.1\r\nhost: example.com\r\ncontent-length: 6\r\n\r\nsecret";
    refused(proxy.http1("example.com").exchange(b"POST", body), "method-not-allowed");
    assert_eq!(only(proxy.internet.take_received()).path, "/three");
}

/// The end of the inner connection ends the tunnel, and must not overtake the answer.
#[test]
fn an_answer_comes_before_the_end_that_was_asked_for() {
    let proxy = Inspecting::start(READ_ONLY);
    for length in [0, 10, 100_000, 3_000_000] {
        let path = format!("/bytes/{length}");
        let close = format!("GET {path} HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n");
        let mut inside = proxy.http1("example.com");
        let answer = inside.exchange(b"GET", close.as_bytes()).expect_answer();
        assert_eq!((answer.status, answer.body.len()), (200, length), "{path}");
        assert_eq!(inside.bytes(1).map_err(|error| error.kind()), Err(std::io::ErrorKind::UnexpectedEof), "{path}");
    }
    let refusal = b"POST / HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\ncontent-length: 6\r\n\r\nsecret";
    refused(proxy.http1("example.com").exchange(b"POST", refusal), "method-not-allowed");
}

#[test]
fn methods_over_http2() {
    let proxy = Inspecting::start(READ_ONLY);
    let mut inside = proxy.http2("example.com");
    passed(inside.exchange(&fields("GET", "example.com", "/one")));
    let one = only(proxy.internet.take_received());
    assert_eq!((&*one.path, &*one.arrival.protocol), ("/one", "HTTP/2.0"));
    for method in REFUSED.into_iter().chain(["get"]) {
        refused(inside.exchange(&fields(method, "example.com", "/two")), "method-not-allowed");
    }
    origin_saw_nothing(&proxy);
    // The client's `:scheme` does not disable TLS.
    let mut cleartext = fields("GET", "example.com", "/three");
    cleartext.retain(|(name, _)| *name != b":scheme");
    cleartext.insert(1, (b":scheme", b"http"));
    passed(inside.exchange(&cleartext));
    let three = only(proxy.internet.take_received());
    assert_eq!(three.arrival.server_name.as_deref(), Some("example.com"));
}

#[test]
fn a_forbidden_name_gets_no_tunnel() {
    let proxy = Inspecting::start(READ_ONLY);
    refused(proxy.connect("evil.example:443"), "domain-not-allowed");
    refused(proxy.connect("example.com:8443"), "port-not-allowed");
    // pip sends CONNECT like this.
    let mut old = weir_tests::http1::Connection::open(proxy.envoy.address());
    let opened = old.exchange(b"CONNECT", b"CONNECT example.com:443 HTTP/1.0\r\n\r\n");
    assert_eq!(opened.status(), Some(200), "{opened}");
    let inside = weir_tests::tls::trusting(old.into_stream(), "example.com", "http/1.1", &proxy.ca_pem);
    passed(get(&mut Connection::over(inside), "example.com", "/pip"));
    assert_eq!(only(proxy.internet.take_received()).path, "/pip");
}

#[test]
fn a_new_policy_is_asked_in_open_tunnels() {
    let mut proxy = Inspecting::start(ALL_METHODS);
    let (mut one, mut two) = (proxy.http1("example.com"), proxy.http2("example.com"));
    let post = request("POST", "example.com", "/before");
    passed(one.exchange(b"POST", &[&post[..post.len() - 2], b"content-length: 0\r\n\r\n"].concat()));
    passed(two.exchange(&fields("POST", "example.com", "/before")));
    assert_eq!(proxy.internet.take_received().len(), 2);
    weir_tests::proxy::ok(proxy.envoy.set_policy(READ_ONLY));
    refused(one.exchange(b"POST", &request("POST", "example.com", "/after")), "method-not-allowed");
    refused(two.exchange(&fields("POST", "example.com", "/after")), "method-not-allowed");
    weir_tests::proxy::ok(proxy.envoy.set_policy(b"{}"));
    refused(get(&mut one, "example.com", "/after"), "access-off");
    refused(two.exchange(&fields("GET", "example.com", "/after")), "access-off");
    origin_saw_nothing(&proxy);
}

#[test]
fn a_tunnel_inside_a_tunnel() {
    let mut proxy = Inspecting::start(READ_ONLY);
    let nested = connect::open(&mut proxy.http1("example.com"), b"example.com:443", b"");
    let words = nested.answer().map(weir_tests::Answer::text).unwrap_or_default();
    // This proxy inspects TLS, but only once.
    assert!(words.contains("the TLS inside is not inspected"), "{words}");
    refused(nested, "tunnel-not-inspected");
    // Envoy refuses a nested tunnel even if the policy would allow it: it would hide its content.
    weir_tests::proxy::ok(proxy.envoy.set_policy(ALL_METHODS));
    for authority in ["example.com:443", "example.com:80"] {
        let answer = connect::open(&mut proxy.http1("example.com"), authority.as_bytes(), b"").expect_answer();
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("no tunnel inside a tunnel"), "{}", answer.text());
    }
    let nested: [Field<'_>; 2] = [(b":method", b"CONNECT"), (b":authority", b"example.com:443")];
    let mut inside = proxy.http2("example.com");
    let stream = inside.headers(&nested, false);
    let answer = inside.head(stream).expect_answer();
    assert_eq!(answer.status, 403, "{}", answer.text());
    origin_saw_nothing(&proxy);
}

#[test]
fn the_access_log_knows_the_client_inside() {
    let proxy = Inspecting::start(READ_ONLY);
    passed(get(&mut proxy.http1("example.com"), "example.com", "/logged"));
    assert!(
        proxy.logs(|line| {
            line["path"] == "/logged"
                && line["sni"] == "example.com"
                && line["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:"))
                && line["decision"].as_str().is_some_and(|decision| decision.starts_with("allow; "))
        }),
        "{:?}",
        proxy.envoy.access_log_lines()
    );
}
