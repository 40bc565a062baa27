//! Concurrent tunnels: the state of one must never apply to another.

use weir_tests::proxy::resource_without;
use weir_tests::{http2, tls};

use super::*;

const POLICY: &[u8] = br#"{
    "internet_access": "on",
    "tls": "inspected",
    "methods": "read-only",
    "allowlist": {"domains": [
        "example.com",
        {"domain": "pinned.example.net", "methods": "all", "tls": "passthrough"}
    ]}
}"#;

/// Envoy could reuse a connection prepared for an abandoned tunnel, unless it distinguishes tunnels by their state.
#[test]
fn a_tunnel_that_was_given_up_leaves_nothing_to_the_next() {
    let proxy = Inspecting::start(POLICY);
    for (name, passes) in [("pinned.example.net", false), ("example.com", true)] {
        let mut outside = http2::Connection::open(proxy.envoy.address());
        let connect = |authority| -> [Field<'static>; 2] { [(b":method", b"CONNECT"), (b":authority", authority)] };
        // Both in one write, before Envoy has connected anything.
        let frames = [
            http2::frame(1, 4, 1, &http2::encode(&connect(b"pinned.example.net:443"))),
            http2::frame(3, 0, 1, &8_u32.to_be_bytes()),
            http2::frame(1, 4, 3, &http2::encode(&connect(b"example.com:443"))),
        ];
        outside.raw(&frames.concat());
        assert_eq!(outside.head(3).status(), Some(200));
        let tls = tls::over(Box::new(http2::Tunnel::new(outside, 3)), name, "http/1.1");
        if passes {
            passed(get(&mut Connection::over(tls), name, "/own"));
        } else {
            is_closed(tls, &request("POST", name, "/confused"));
        }
    }
    assert_eq!(only(proxy.internet.take_received()).path, "/own");
}

/// If the plugin cannot set the filter state of a tunnel, none opens.
#[test]
fn a_tunnel_that_was_not_announced_carries_nothing() {
    let proxy = Inspecting::with(|launch, internet| {
        launch.resource(resource_without("proxy_set_property", POLICY)).stand_in(internet)
    });
    refused(proxy.connect("example.com:443"), "tunnel-not-inspected");
    let name = "pinned.example.net";
    is_closed(tls::over(proxy.tunnel(&format!("{name}:443")), name, "http/1.1"), &request("GET", name, "/unannounced"));
    assert_eq!(proxy.internet.take_received().len(), 0);
}
