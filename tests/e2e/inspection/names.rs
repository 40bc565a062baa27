//! The tunnel, its TLS and each of its requests must name one host, and the tunnel must be TLS.

use weir_tests::tls;

use super::*;

#[test]
fn fronting_by_the_server_name() {
    let proxy = Inspecting::start(READ_ONLY);
    // Another allowed name, one that is not allowed, a subdomain, and one that only has the same prefix.
    for name in ["example.org", "evil.example", "www.example.com", "example.com.evil.example"] {
        for protocol in ["http/1.1", "h2"] {
            let tls = tls::over(proxy.tunnel("example.com:443"), name, protocol);
            is_closed(tls, &request("GET", name, "/fronted"));
        }
        assert!(proxy.logs(|line| line["sni"] == name && line["tunnel"] == "example.com"), "{name} is not in the log");
    }
    origin_saw_nothing(&proxy);
    assert_eq!(proxy.issuer.as_ref().map(|issuer| issuer.stats().minted), Some(0), "no certificate was made");
}

#[test]
fn fronting_by_the_authority() {
    let proxy = Inspecting::start(READ_ONLY);
    let mut one = proxy.http1("example.com");
    passed(get(&mut one, "example.com", "/first"));
    for host in ["example.org", "www.example.com"] {
        refused(get(&mut one, host, "/fronted"), "tls-name-mismatch");
    }
    let absolute = b"GET https://example.org/fronted HTTP/1.1\r\nhost: example.com\r\n\r\n";
    refused(one.exchange(b"GET", absolute), "tls-name-mismatch");
    let mut two = proxy.http2("example.com");
    passed(two.exchange(&fields("GET", "example.com", "/first")));
    refused(two.exchange(&fields("GET", "example.org", "/fronted")), "tls-name-mismatch");
    refused(two.exchange(&fields("GET", "evil.example", "/fronted")), "domain-not-allowed");
    passed(two.exchange(&fields("GET", "example.com", "/last")));
    let paths: Vec<String> = proxy.internet.take_received().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/first", "/first", "/last"]);
}

#[test]
fn no_server_name() {
    let proxy = Inspecting::start(READ_ONLY);
    for protocol in ["http/1.1", "h2"] {
        is_closed(
            tls::over(proxy.tunnel("example.com:443"), "", protocol),
            &request("GET", "example.com", "/nameless"),
        );
    }
    assert!(
        proxy.logs(
            |line| line["tunnel"] == "example.com" && line["details"] == "rbac_access_denied_matched_policy[none]"
        )
    );
    origin_saw_nothing(&proxy);
}

#[test]
fn case_does_not_matter() {
    let proxy = Inspecting::start(READ_ONLY);
    let tls = tls::over(proxy.tunnel("EXAMPLE.com.:443"), "example.com", "http/1.1");
    passed(get(&mut Connection::over(tls), "Example.COM", "/"));
    assert_eq!(proxy.internet.take_received().len(), 1);
}

#[test]
fn connections_that_are_not_tls_are_closed() {
    let proxy = Inspecting::start(ALL_METHODS);
    let plain = request("GET", "example.com", "/plain");
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    // TLS 1.3's record header, and then something that is not a ClientHello.
    let broken = [&[22, 3, 1, 2, 0][..], &noise[..512]].concat();
    let sayings: [&[u8]; 6] =
        [&plain, b"SSH-2.0-OpenSSH_9.6\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &noise, &broken, b"\0\0\0\0\0\0\0\0"];
    for saying in sayings {
        is_closed(proxy.tunnel("example.com:443"), saying);
    }
    assert!(
        proxy.logs(|line| line["flags"] == "NR" && line["tunnel"] == "example.com"),
        "{:?}",
        proxy.envoy.access_log_lines()
    );
    origin_saw_nothing(&proxy);
}
