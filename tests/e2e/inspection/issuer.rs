//! Without the issuer, known names keep working and new names fail.

use weir_tests::tls;

use super::*;

#[test]
fn known_names_go_on_without_it() {
    let mut proxy = Inspecting::start(ALL_METHODS);
    let mut open = proxy.http1("example.com");
    passed(get(&mut open, "example.com", "/before"));
    drop(proxy.issuer.take());
    passed(get(&mut open, "example.com", "/open"));
    passed(get(&mut proxy.http1("example.com"), "example.com", "/known"));
    assert_eq!(proxy.internet.take_received().len(), 3);
    // A new name gets no certificate, and Envoy closes the connection before the client does.
    is_closed(tls::over(proxy.tunnel("new.example.com:443"), "new.example.com", "http/1.1"), b"GET / HTTP/1.1\r\n\r\n");
    origin_saw_nothing(&proxy);
    proxy.restart_issuer();
    let host = "another.example.com";
    let recovered = (0..20).any(|_| {
        let tls = tls::over(proxy.tunnel("another.example.com:443"), host, "http/1.1");
        get(&mut Connection::over(tls), host, "/after").status() == Some(200)
    });
    assert!(recovered, "no certificate for a new name although the issuer is back");
}
