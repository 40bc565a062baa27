//! The cost of TLS inspection: processor time of Envoy for a request, a tunnel and a new name, and of the issuer for a
//! certificate.
//!
//! It measures as `request.rs` does. The first variant of each table is the same configuration without the plugin; the
//! last is the forward proxy with TLS passthrough, the cost without inspection. Each variant has its own stand-in and,
//! if it inspects, its own issuer. Those run on threads of this process and are not in Envoy's time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use weir_bench::rounds::{Variant, compare};
use weir_envoy::{Launch, Running};
use weir_internet::StandIn;
use weir_tests::http1::{self, Connection};
use weir_tests::process::{allow_many_files, cpu_time, own_cpu_time};
use weir_tests::proxy::{launch, ok};
use weir_tests::{Inspecting, Outcome, connect, http2, tls};

const REQUESTS: u32 = 300;
const TUNNELS: u32 = 30;
const NAMES: u32 = 10;
const POLICY: &[u8] = br#"{"internet_access": "on", "tls": "inspected", "methods": "read-only",
    "allowlist": {"preset": "common-dependencies", "domains": ["example.com"]}}"#;
const PASSTHROUGH: &[u8] = br#"{"internet_access": "on",
    "allowlist": {"preset": "common-dependencies", "domains": ["example.com"]}}"#;
const HOST: &str = "pypi.org";
/// With host and connection ten headers, as a package manager sends them; the same as in `requests.rs`.
const HEADERS: [(&str, &str); 8] = [
    ("user-agent", "pip/23.2.1"),
    ("accept", "application/vnd.pypi.simple.v1+json, text/html; q=0.1"),
    ("accept-encoding", "gzip, deflate"),
    ("cache-control", "max-age=0"),
    ("if-none-match", "\"abcdef0123456789\""),
    ("x-one", "1"),
    ("x-two", "2"),
    ("x-three", "3"),
];
static NEXT: AtomicU32 = AtomicU32::new(0);
/// The name of the issuers' threads. Only the issuer that gets requests uses processor time.
const ISSUER: &str = "weir-issuer";

fn main() {
    allow_many_files();
    let one_worker = |launch: Launch, internet: SocketAddr| launch.concurrency(1).stand_in(internet);
    let bare = Inspecting::without_plugin(one_worker);
    let inspecting = Inspecting::with(|launch, internet| one_worker(launch, internet).policy(POLICY));
    let internet = ok(StandIn::with_tls());
    let forward = ok(one_worker(launch().policy(PASSTHROUGH), internet.address()).start());
    let ways = [
        Way { name: "inspected, no plugin", envoy: &bare.envoy, trusted: &bare.ca_pem },
        Way { name: "inspected, preset, read-only", envoy: &inspecting.envoy, trusted: &inspecting.ca_pem },
        Way { name: "passed through unseen", envoy: &forward, trusted: internet.ca_pem().unwrap_or_default() },
    ];
    compare(
        "Processor time of Envoy for one request over a kept connection in a tunnel, HTTP/1.1, microseconds",
        &mut ways.each_ref().map(Way::requests_http1),
    );
    compare(
        "Processor time of Envoy for one request over a kept connection in a tunnel, HTTP/2, microseconds",
        &mut ways.each_ref().map(Way::requests_http2),
    );
    compare(
        "Processor time of Envoy for a new connection, tunnel and TLS handshake to a known name with one request, microseconds",
        &mut ways.each_ref().map(Way::tunnels),
    );
    let envoy = |way: &Way<'_>| cpu_time(way.envoy.pid());
    compare(
        "Processor time of Envoy for the first request to a new name (certificate, and connection to its origin), microseconds",
        &mut ways.each_ref().map(|way| way.names(way.name, new_name, Way::request, envoy)),
    );
    let [_, inspected, _] = &ways;
    compare(
        "Processor time of Envoy for a new connection, tunnel and TLS handshake alone, with the plugin, microseconds",
        &mut [
            inspected.names("known name", || HOST.to_owned(), Way::handshake, envoy),
            inspected.names("new name", new_name, Way::handshake, envoy),
        ],
    );
    compare(
        "Processor time of the issuer for a TLS handshake, microseconds",
        &mut [
            inspected.names("known name", || HOST.to_owned(), Way::handshake, |_| own_cpu_time(ISSUER)),
            inspected.names("new name", new_name, Way::handshake, |_| own_cpu_time(ISSUER)),
        ],
    );
}

/// A way from a client to an origin.
struct Way<'e> {
    name: &'static str,
    envoy: &'e Running,
    /// The certificate (PEM) that the client trusts.
    trusted: &'e str,
}

impl Way<'_> {
    /// A tunnel, and TLS inside it.
    fn open(&self, host: &str, protocol: &str) -> Box<dyn http1::Stream> {
        let mut connection = Connection::open(self.envoy.address());
        let opened = connect::open(&mut connection, format!("{host}:443").as_bytes(), b"");
        assert_eq!(opened.status(), Some(200), "{opened}");
        tls::trusting(connection.into_stream(), host, protocol, self.trusted)
    }

    fn requests_http1(&self) -> Variant<'_> {
        let mut connection = Connection::over(self.open(HOST, "http/1.1"));
        let request = request(HOST, "keep-alive");
        self.variant(REQUESTS, move || passed(&connection.exchange(b"GET", &request)))
    }

    fn requests_http2(&self) -> Variant<'_> {
        let mut connection = http2::Connection::over(self.open(HOST, "h2"));
        let mut fields: Vec<http2::Field<'_>> = vec![
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", HOST.as_bytes()),
            (b":path", b"/simple/requests/"),
        ];
        fields.extend(HEADERS.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        self.variant(REQUESTS, move || passed(&connection.exchange(&fields)))
    }

    fn tunnels(&self) -> Variant<'_> {
        self.variant(TUNNELS, move || self.request(HOST))
    }

    /// Calls `visit` for each of some names; `time` selects whose processor time counts.
    fn names(
        &self,
        label: &'static str,
        host: fn() -> String,
        visit: fn(&Self, &str),
        time: fn(&Way<'_>) -> Duration,
    ) -> Variant<'_> {
        Variant::new(label, move || {
            let before = time(self);
            for _ in 0..NAMES {
                visit(self, &host());
            }
            time(self).saturating_sub(before) / NAMES
        })
    }

    /// A request over a new connection, tunnel and handshake.
    fn request(&self, host: &str) {
        let mut connection = Connection::over(self.open(host, "http/1.1"));
        passed(&connection.exchange(b"GET", &request(host, "close")));
    }

    /// The same without a request: Envoy itself answers invalid bytes and contacts no origin.
    fn handshake(&self, host: &str) {
        let mut connection = Connection::over(self.open(host, "http/1.1"));
        let outcome = connection.exchange(b"GET", b"none\r\n\r\n");
        assert_eq!(outcome.status(), Some(400), "{outcome}");
    }

    fn variant<'v>(&self, count: u32, mut once: impl FnMut() + 'v) -> Variant<'v> {
        let pid = self.envoy.pid();
        Variant::new(self.name, move || {
            let before = cpu_time(pid);
            for _ in 0..count {
                once();
            }
            cpu_time(pid).saturating_sub(before) / count
        })
    }
}

/// A name that no client has requested yet.
fn new_name() -> String {
    format!("n{}.example.com", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn request(host: &str, connection: &str) -> Vec<u8> {
    let mut request = format!("GET /simple/requests/ HTTP/1.1\r\nhost: {host}\r\nconnection: {connection}\r\n");
    for (name, value) in HEADERS {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    request.into_bytes()
}

fn passed(outcome: &Outcome) {
    assert_eq!(outcome.status(), Some(200), "{outcome}");
}
