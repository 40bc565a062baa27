//! A large answer passes unchanged, and without the plugin, which exports no callback for bodies (artifact.rs).
#![expect(clippy::expect_used, reason = "clippy takes only the test functions themselves for tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use weir_envoy::{Launch, Running};
use weir_tests::http1;
use weir_tests::process::cpu_time;
use weir_tests::proxy::{launch, ok};

const LENGTH: usize = 50_000_000;
const TIMES: usize = 7;
const POLICY: &[u8] = br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#;

/// Bytes without a pattern (xorshift64), so that a lost, doubled or moved part is detected.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(LENGTH + 8);
    while bytes.len() < LENGTH {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(LENGTH);
    bytes
}

/// An origin that answers each connection with `body`; its thread ends with the process.
fn origin(body: Arc<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.2:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = move |mut stream: TcpStream| {
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(length) if length > 0 => request.extend(buffer.iter().take(length)),
                _ => return,
            }
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    };
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
    address
}

/// Downloads the answer, compares all its bytes, and returns Envoy's processor time and the wall-clock time.
fn download(envoy: &Running, body: &[u8]) -> (Duration, Duration) {
    let (cpu, start) = (cpu_time(envoy.pid()), Instant::now());
    let mut connection = http1::Connection::open(envoy.address());
    let request = b"GET / HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n";
    let head = connection.send(request).head().expect_answer();
    assert_eq!(head.status, 200);
    assert!(!head.has("x-weir-decision"));
    let mut rest = body;
    loop {
        let chunk = connection.body_chunk().expect("bytes in time");
        if chunk.is_empty() {
            break;
        }
        let at = LENGTH - rest.len();
        rest = rest.strip_prefix(&chunk[..]).unwrap_or_else(|| unreachable!("other bytes after {at}"));
    }
    assert_eq!(rest.len(), 0, "bytes are missing");
    (cpu_time(envoy.pid()).saturating_sub(cpu), start.elapsed())
}

fn tell(name: &str, mut times: Vec<(Duration, Duration)>) {
    times.sort();
    let middle = times.get(TIMES / 2);
    let least = times.first();
    eprintln!("{LENGTH} bytes, {name}: (processor time of Envoy, clock) median {middle:?}, least {least:?}");
}

/// The times are printed and not asserted, because the machine may be busy. The two alternate, so that load affects
/// both.
#[test]
fn fifty_megabytes_pass_byte_for_byte() {
    let body = Arc::new(noise());
    let address = origin(Arc::clone(&body));
    let with = ok(launch().policy(POLICY).stand_in(address).start());
    let without = ok(Launch::without_plugin().stand_in(address).start());
    // One download each to warm up.
    download(&with, &body);
    download(&without, &body);
    let (mut times_with, mut times_without) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        times_with.push(download(&with, &body));
        times_without.push(download(&without, &body));
    }
    tell("with the plugin", times_with);
    tell("without it", times_without);
    // One decision per download, whatever its length.
    let end = Instant::now() + Duration::from_secs(10);
    let allowed = || ok(with.stats("wasmcustom.weir.")).get("wasmcustom.weir.allowed").copied().unwrap_or_default();
    while allowed() < TIMES as u64 + 1 && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(allowed(), TIMES as u64 + 1);
}
