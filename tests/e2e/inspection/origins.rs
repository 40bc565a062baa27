//! Hostile origins: bad certificates, forged decisions, private addresses.

use weir_tests::tls;

use super::*;

const POLICY: &[u8] = br#"{
    "internet_access": "on",
    "tls": "inspected",
    "ports": "any",
    "allowlist": {"domains": ["example.com", "=localhost", {"domain": "pinned.example.net", "tls": "passthrough"}]}
}"#;

#[test]
fn a_bad_certificate_is_refused() {
    let proxy = Inspecting::start(POLICY);
    for (host, why) in [
        ("self-signed.example.com", "self_signed_certificate"),
        ("expired.example.com", "certificate_has_expired"),
        ("wrong-name.example.com", "SAN"),
    ] {
        for answer in [
            get(&mut proxy.http1(host), host, "/secret").expect_answer(),
            proxy.http2(host).exchange(&fields("GET", host, "/secret")).expect_answer(),
        ] {
            assert_eq!(answer.status, 502, "{host}: {}", answer.text());
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            let text = answer.text().to_lowercase();
            assert!(text.contains("the origin's certificate is not valid"), "{host}: {text}");
            assert!(text.contains(&why.to_lowercase()), "{host}: {text}");
            assert!(!answer.has("x-weir-decision"));
        }
    }
    origin_saw_nothing(&proxy);
}

#[test]
fn a_forged_verdict_is_removed() {
    let proxy = Inspecting::start(POLICY);
    for answer in [
        passed(get(&mut proxy.http1("example.com"), "example.com", "/forge")),
        passed(proxy.http2("example.com").exchange(&fields("GET", "example.com", "/forge"))),
    ] {
        assert!(!answer.has("x-proxy-error") && !answer.has("x-weir-decision"), "{:?}", answer.headers);
        assert_eq!(answer.header("server"), Some("stand-in"));
    }
    // Nor does an origin receive headers for a proxy.
    let asked = b"GET / HTTP/1.1\r\nhost: example.com\r\nproxy-authorization: Basic eA==\r\nx-envoy-retry-on: 5xx\r\n\
        x-weir-policy: x\r\nx-forwarded-for: 192.0.2.1\r\n\r\n";
    passed(proxy.http1("example.com").exchange(b"GET", asked));
    let last = proxy.internet.take_received().pop().expect("a request");
    let names: Vec<&str> = last.headers.iter().map(|(name, _)| name.as_str()).collect();
    let meant =
        |name: &&&str| ["proxy-", "x-envoy-", "x-weir-", "x-forwarded-"].iter().any(|own| name.starts_with(own));
    assert_eq!(names.iter().find(meant), None, "{names:?}");
}

#[test]
fn no_name_leads_inside() {
    // No stand-in and no exception: localhost is 127.0.0.1 here, where a listener exists.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let host = format!("localhost:{}", listener.local_addr().expect("an address").port());
    let proxy = Inspecting::with(|launch, _| launch.policy(POLICY));
    let tls = tls::trusting(proxy.tunnel(&host), "localhost", "http/1.1", &proxy.ca_pem);
    let answer = get(&mut Connection::over(tls), &host, "/inside").expect_answer();
    assert_eq!((answer.status, answer.header("x-proxy-error")), (403, Some("blocked-by-policy")), "{}", answer.text());
    assert!(answer.text().contains("its address is private"), "{}", answer.text());
    let accepted = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(accepted, Err(std::io::ErrorKind::WouldBlock), "Envoy connected to the private address");
}
