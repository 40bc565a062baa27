//! `"tls": "passthrough"` for one domain: its TLS is not inspected, but its server name is checked.

use weir_tests::tls;

use super::*;

const POLICY: &[u8] = br#"{
    "internet_access": "on",
    "tls": "inspected",
    "ports": "any",
    "allowlist": {"domains": [
        "example.com",
        {"domain": "pinned.example.net", "tls": "passthrough"},
        {"domain": "=localhost", "tls": "passthrough"}
    ]}
}"#;

#[test]
fn the_client_sees_the_origins_own_certificate() {
    let proxy = Inspecting::start(POLICY);
    let origins = proxy.internet.ca_pem().expect("an authority").to_owned();
    let pinned = "pinned.example.net";
    // A client that trusts the origin's CA and not the issuer's, as one with pinned certificates does.
    let tls = tls::trusting(proxy.tunnel("pinned.example.net:443"), pinned, "http/1.1", &origins);
    let mut inside = Connection::over(tls);
    passed(get(&mut inside, pinned, "/pinned"));
    let one = only(proxy.internet.take_received());
    assert_eq!((&*one.path, one.arrival.server_name.as_deref()), ("/pinned", Some(pinned)));
    assert_eq!(one.header("x-request-id"), None, "Envoy changed it: {:?}", one.headers);
    // The plugin decides nothing inside, as the policy says and the page documents.
    let forged = get(&mut inside, "anything.example", "/forge").expect_answer();
    assert!(forged.has("x-weir-decision"), "the origin's answer, untouched");
    assert_eq!(proxy.issuer.as_ref().map(|issuer| issuer.stats().minted), Some(0));
    // The rest is inspected as before.
    passed(get(&mut proxy.http1("example.com"), "example.com", "/"));
}

#[test]
fn another_server_name_is_closed() {
    let proxy = Inspecting::start(POLICY);
    for name in ["example.com", "evil.example", "www.pinned.example.net", ""] {
        let tls = tls::over(proxy.tunnel("pinned.example.net:443"), name, "http/1.1");
        is_closed(tls, &request("GET", "pinned.example.net", "/fronted"));
    }
    is_closed(proxy.tunnel("pinned.example.net:443"), &request("GET", "pinned.example.net", "/plain"));
    origin_saw_nothing(&proxy);
}

#[test]
fn it_does_not_lead_inside() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    let proxy = Inspecting::with(|launch, _| launch.policy(POLICY));
    is_closed(tls::over(proxy.tunnel(&format!("localhost:{port}")), "localhost", "http/1.1"), b"");
    let accepted = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(accepted, Err(std::io::ErrorKind::WouldBlock), "Envoy connected to the private address");
}

#[test]
fn the_port_is_the_tunnels() {
    let proxy = Inspecting::with(|launch, internet| {
        // Envoy resolves the name here: only the address has an exception.
        assert!(internet.ip().is_loopback());
        let [v4, v6] = ["127.0.0.0/8", "::1/128"].map(|loopback| weir_tests::proxy::ok(loopback.parse()));
        launch.policy(POLICY).allow_upstream(v4).allow_upstream(v6)
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let waiting = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut first = [0; 1];
        std::io::Read::read_exact(&mut stream, &mut first).expect("a byte");
        first
    });
    let mut tls = tls::over(proxy.tunnel(&format!("localhost:{port}")), "localhost", "http/1.1");
    // The ClientHello, which the server does not answer.
    let _ = tls.write_all(b"x");
    assert_eq!(waiting.join().expect("a thread"), [22], "a ClientHello reached that port");
}
