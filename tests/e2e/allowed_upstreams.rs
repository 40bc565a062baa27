//! DNS answers with public and private addresses: Envoy must connect only to public ones, in any order of the answers.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "clippy takes only the test functions themselves for tests"
)]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use weir_envoy::Binary;
use weir_tests::proxy::launch;

/// Stands for a public address without a listener, so that Envoy tries the next address of an answer.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const INSIDE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A name server that answers A questions by the first label: `public`, `inside`, `public-inside`, `inside-public`.
fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut packet) {
            let question = &packet[12..length];
            let name_end = question.iter().position(|byte| *byte == 0).unwrap();
            let label = String::from_utf8_lossy(&question[1..=usize::from(question[0])]).into_owned();
            let is_a = question[name_end + 1..name_end + 3] == [0, 1];
            let addresses: Vec<Ipv4Addr> =
                label.split('-').filter(|_| is_a).map(|word| if word == "public" { PUBLIC } else { INSIDE }).collect();
            let mut answer = packet[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
            answer.extend(&question[..name_end + 5]);
            for address in addresses {
                answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                answer.extend(address.octets());
            }
            socket.send_to(&answer, client).unwrap();
        }
    });
    address
}

/// A private server that must never be reached, and a count of its connections.
fn inside() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((INSIDE, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.unwrap().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ninside");
        }
    });
    (port, reached)
}

#[test]
fn no_name_leads_inside() {
    // Before 1.39 Envoy does not filter DNS answers and this test fails: `tests/data/envoys.json` expects that failure.
    let envoy = Binary::find().unwrap();
    let version = envoy.version();
    let resolver = serde_json::json!({"typed_dns_resolver_config": {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": name_server().port()}}],
            "dns_resolver_options": {"no_default_search_domain": true},
        },
    }});
    let (port, reached) = inside();
    let envoy = launch()
        .binary(envoy)
        .policy(*br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}, "ports": "any"}"#)
        .allow_upstream(IpAddr::from(PUBLIC).into())
        .arg("--config-yaml")
        .arg(resolver.to_string())
        .start()
        .unwrap();
    let ask = |request: String| {
        let mut stream = TcpStream::connect(envoy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    // A public and a private address, in both orders: Envoy tries each address of an answer in turn.
    for (label, status) in [("inside", 403), ("public", 502), ("public-inside", 502), ("inside-public", 502)] {
        let authority = format!("{label}.example.com:{port}");
        for request in [
            format!("GET http://{authority}/ HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n"),
            format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n"),
        ] {
            let answer = ask(request.clone());
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{label} under Envoy {version} is not answered {status}: {request}{answer}"
            );
            assert!(answer.contains("The policy allows"), "{answer}");
        }
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}
