//! Bytes that are not UTF-8, and control bytes, in every header that the plugin reads.
//!
//! A plugin that converts such a header to text traps, and a trap ends the VM of a worker. So the plugin or Envoy
//! itself must refuse each of these requests, and the same VMs must be alive after all of them.

use std::collections::BTreeMap;

use weir_policy::{Policy, Request};
use weir_tests::cases::{TAG, parallel_by, received};
use weir_tests::http2::Field;
use weir_tests::{Failures, Outcome, Proxy, connect};

const POLICY: &[u8] = br#"{
    "internet_access": "on", "name": "bytes",
    "allowlist": {"domains": [
        "example.com",
        {"domain": "ro.example.com", "methods": ["GET"]},
        {"domain": "paths.example.com", "paths": ["/v1/"]},
        {"domain": "git.example.com", "methods": ["HEAD"], "allow": ["git-fetch"]}
    ]}
}"#;

const BYTES: [(&str, &[u8]); 18] = [
    ("ff", b"\xff"),
    ("fe ff", b"\xfe\xff"),
    ("lone continuation", b"\x80"),
    ("cut off sequence", b"\xc3"),
    ("overlong /", b"\xc0\xaf"),
    ("surrogate", b"\xed\xa0\x80"),
    ("above U+10FFFF", b"\xf4\x90\x80\x80"),
    ("e acute", b"\xc3\xa9"),
    ("right to left", b"\xe2\x80\xae"),
    ("long", &[0xff; 2000]),
    ("NUL", b"\0"),
    ("SOH", b"\x01"),
    ("BEL", b"\x07"),
    ("VT", b"\x0b"),
    ("ESC", b"\x1b[31m"),
    ("DEL", b"\x7f"),
    // Over HTTP/1.1 these end a line and make it another request.
    ("LF", b"\n"),
    ("CR LF", b"\r\n"),
];

/// Envoy takes a second to close a connection with invalid HTTP/2.
const THREADS: usize = 40;

/// A header that the plugin reads, in a request that the policy refuses for any reading of the bytes, or, if `refused`
/// is false, in one that it may allow.
struct Place {
    name: &'static str,
    method: &'static [u8],
    authority: &'static [u8],
    path: &'static [u8],
    /// The value to insert the bytes into; `name` is the header.
    value: &'static [u8],
    body: bool,
    refused: bool,
}

const GET: Place =
    Place { name: "", method: b"GET", authority: b"example.com", path: b"/", value: b"", body: false, refused: true };
const READ_ONLY: Place = Place { authority: b"ro.example.com", ..GET };

static PLACES: [Place; 16] = [
    Place { name: ":authority", value: b"example.com", ..GET },
    Place { name: ":authority", value: b"example.com:443", ..GET },
    Place { name: ":authority", value: b"", ..GET },
    // A second header for the authority over HTTP/2, which may contradict the first.
    Place { name: "host", value: b"example.com", ..GET },
    Place { name: ":method", value: b"GET", ..READ_ONLY },
    Place { name: ":path", authority: b"paths.example.com", value: b"/v2/x", ..GET },
    Place { name: ":path", authority: b"paths.example.com", value: b"/v1/x?q", refused: false, ..GET },
    Place { name: "upgrade", value: b"websocket", ..READ_ONLY },
    Place { name: "x-http-method-override", value: b"GET", ..READ_ONLY },
    Place { name: "x-http-method", value: b"GET", ..READ_ONLY },
    Place { name: "x-method-override", value: b"GET", ..READ_ONLY },
    Place {
        name: "content-type",
        method: b"POST",
        authority: b"git.example.com",
        path: b"/org/repo.git/git-upload-pack",
        value: b"application/x-git-upload-pack-request",
        body: true,
        ..GET
    },
    Place { name: "content-length", value: b"5", body: true, ..READ_ONLY },
    Place { name: "transfer-encoding", value: b"chunked", body: true, ..READ_ONLY },
    Place { name: "x-request-id", authority: b"evil.example", value: b"id", ..GET },
    Place { name: "x-request-id", value: b"id", refused: false, ..GET },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

struct Job {
    id: String,
    place: &'static Place,
    protocol: Protocol,
    value: Vec<u8>,
}

fn jobs(refused: bool) -> Vec<Job> {
    let mut jobs = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for place in PLACES.iter().filter(|place| place.refused == refused) {
            for (name, bytes) in BYTES {
                if protocol == Protocol::Http1 && bytes.contains(&b'\n') {
                    continue;
                }
                let middle = place.value.split_at(place.value.len() / 2);
                let values = [
                    ("before", [bytes, place.value].concat()),
                    ("amid", [middle.0, bytes, middle.1].concat()),
                    ("after", [place.value, bytes].concat()),
                ];
                for (position, value) in values {
                    let header = place.name;
                    let id = format!("{protocol:?}/{header}/{}/{name}/{position}", place.value.escape_ascii());
                    jobs.push(Job { id, place, protocol, value });
                }
            }
        }
    }
    jobs
}

impl Job {
    /// The value of a header: the bytes if it is the tested header.
    fn value<'j>(&'j self, name: &str, other: &'j [u8]) -> &'j [u8] {
        if self.place.name == name { &self.value } else { other }
    }

    fn method(&self) -> &[u8] {
        self.value(":method", self.place.method)
    }

    fn is_pseudo(&self) -> bool {
        self.place.name.starts_with(':')
    }

    fn send(&self, proxy: &Proxy) -> Outcome {
        match self.protocol {
            Protocol::Http1 => proxy.http1().exchange(self.method(), &self.http1()),
            Protocol::Http2 => self.http2(proxy),
        }
    }

    fn http1(&self) -> Vec<u8> {
        let place = self.place;
        let mut request = [self.method(), b" ", self.value(":path", place.path), b" HTTP/1.1\r\nhost: "].concat();
        request.extend(self.value(":authority", self.value("host", place.authority)));
        request
            .extend(format!("\r\n{TAG}: {}\r\n", self.id.replace(|c: char| !c.is_ascii_graphic(), "_")).into_bytes());
        if !self.is_pseudo() && place.name != "host" {
            request.extend([place.name.as_bytes(), b": ", &self.value, b"\r\n"].concat());
        }
        match (place.name, place.body) {
            ("upgrade", _) => request.extend(b"connection: upgrade\r\n\r\n"),
            ("transfer-encoding", _) => request.extend(b"\r\n5\r\nhello\r\n0\r\n\r\n"),
            ("content-length", _) => request.extend(b"\r\nhello"),
            (_, true) => request.extend(b"content-length: 5\r\n\r\nhello"),
            (_, false) => request.extend(b"\r\n"),
        }
        request
    }

    fn http2(&self, proxy: &Proxy) -> Outcome {
        let place = self.place;
        let tag = self.id.replace(|c: char| !c.is_ascii_graphic(), "_");
        let upgrade = place.name == "upgrade";
        let mut fields: Vec<Field<'_>> = vec![
            (b":method", if upgrade { b"CONNECT" } else { self.method() }),
            (b":scheme", b"http"),
            (b":path", self.value(":path", place.path)),
            (b":authority", self.value(":authority", place.authority)),
        ];
        if upgrade {
            // RFC 8441: the equivalent of `upgrade` over HTTP/1.1.
            fields.push((b":protocol", &self.value));
        }
        fields.push((TAG.as_bytes(), tag.as_bytes()));
        if !self.is_pseudo() && !upgrade {
            fields.push((place.name.as_bytes(), &self.value));
        }
        let mut connection = proxy.http2();
        let stream = connection.headers(&fields, !(place.body || upgrade));
        if place.body {
            connection.data(stream, b"hello", true);
        }
        connection.answer(stream)
    }
}

/// The party that refused, or that the request passed.
fn who(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered(answer) if answer.status == 403 && answer.has("x-weir-decision") => "the plugin, 403",
        Outcome::Answered(answer) if answer.status == 200 => "nobody",
        // A client gets 503 when its VM has just trapped.
        Outcome::Answered(answer) if (400..500).contains(&answer.status) || answer.status == 501 => "Envoy, 4xx or 501",
        Outcome::Answered(_) => "?",
        Outcome::Closed | Outcome::Reset(_) | Outcome::GoAway(_) => "Envoy, closed or reset",
        Outcome::Silent => "silence",
    }
}

fn is_alive(failures: &Failures, proxy: &Proxy, id: &str) {
    // Both workers, each of which has its own VM.
    for _ in 0..8 {
        let get = proxy.http1().exchange(b"GET", b"GET /alive HTTP/1.1\r\nhost: example.com\r\n\r\n");
        failures.check(id, get.status() == Some(200), format_args!("a normal request: {get}"));
        let fields: [Field<'_>; 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/alive"), (b":authority", b"evil.example")];
        let refused = proxy.http2().exchange(&fields);
        let reason = refused.answer().and_then(|answer| answer.reason());
        failures.check(id, reason == Some("domain-not-allowed"), format_args!("a refused request: {refused}"));
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_and_the_vm_lives() {
    let failures = Failures::default();
    let proxy = Proxy::start(POLICY);
    is_alive(&failures, &proxy, "before");
    let alive = BTreeMap::from([("weir.allowed".to_owned(), 8), ("weir.denied.domain-not-allowed".to_owned(), 8)]);
    proxy.counters_grew(&BTreeMap::new(), &alive).unwrap_or_else(|error| failures.add("before", error));
    proxy.internet.take_received();
    let vms = proxy.vms();

    let mut tally: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let refused = jobs(true);
    let outcomes = parallel_by(THREADS, &refused, |job| job.send(&proxy));
    for (job, outcome) in refused.iter().zip(&outcomes) {
        let who = who(outcome);
        *tally.entry((job.place.name, who)).or_default() += 1;
        failures.check(&job.id, !["nobody", "?", "silence"].contains(&who), format_args!("must be refused: {outcome}"));
    }
    failures.same("refused", "requests at the stand-in", &Vec::new(), &received(&proxy).into_keys().collect());
    connects(&failures, &proxy, &mut tally);

    // No request was forwarded, not even to an origin that rejected it.
    let denied =
        |proxy: &Proxy| proxy.counters().iter().filter(|(name, _)| name.contains("denied")).map(|(_, n)| n).sum();
    let by_plugin: usize = tally.iter().filter(|((_, who), _)| *who == "the plugin, 403").map(|(_, count)| count).sum();
    let counted = proxy.wait_for(|proxy| {
        let denied: u64 = denied(proxy);
        denied == by_plugin as u64 + 8
    });
    failures.check("counters", counted, format_args!("{by_plugin} refused, counted {:?}", proxy.counters()));
    failures.same("counters", "allowed", &8, &proxy.counters().get("weir.allowed").copied().unwrap_or_default());

    // Requests that may pass: the policy must allow what the origin received.
    let policy = Policy::from_json(POLICY).expect("the policy");
    let may_pass = jobs(false);
    let outcomes = parallel_by(THREADS, &may_pass, |job| job.send(&proxy));
    for (job, outcome) in may_pass.iter().zip(&outcomes) {
        let who = who(outcome);
        *tally.entry((job.place.name, who)).or_default() += 1;
        failures.check(&job.id, !["?", "silence"].contains(&who), format_args!("{outcome}"));
    }
    for (id, arrived) in received(&proxy) {
        for arrived in arrived {
            let request = Request {
                method: arrived.method.as_bytes(),
                authority: arrived.host.as_bytes(),
                path: arrived.path.as_bytes(),
                ..Request::default()
            };
            let decision = policy.decide(&request);
            failures.check(&id, decision.is_allowed(), format_args!("{decision:?}, but the origin got {arrived:?}"));
        }
    }

    is_alive(&failures, &proxy, "after");
    failures.same("after", "VMs", &vms, &proxy.vms());
    let signs: Vec<String> = proxy
        .envoy
        .log_lines()
        .into_iter()
        .map(|line| line.message)
        .filter(|line| line.contains("proxy_on_") || line.contains("Function:"))
        .collect();
    failures.same("after", "signs of a trap", &Vec::new(), &signs);
    failures.same("after", "signs of a trap", &Vec::new(), &proxy.signs_of_a_trap());
    // Every line of both logs is still JSON: no byte is in it unescaped.
    let lines = weir_tests::audit::access(&proxy).len();
    let records = proxy.envoy.plugin_lines();
    for record in &records {
        let is_json = serde_json::from_str::<serde_json::Value>(record).is_ok_and(|record| record.is_object());
        failures.check("audit", is_json && record.is_ascii(), format_args!("{record:?}"));
    }
    eprintln!("{} requests, {} audit records, {lines} access log lines", refused.len() + may_pass.len(), records.len());
    for ((header, who), count) in tally {
        eprintln!("  {header:24} {who:24} {count}");
    }
}

/// CONNECT, whose target is the authority.
fn connects(failures: &Failures, proxy: &Proxy, tally: &mut BTreeMap<(&str, &str), usize>) {
    let mut jobs = Vec::new();
    for (name, bytes) in BYTES.into_iter().filter(|(_, bytes)| !bytes.contains(&b'\n')) {
        for (position, target) in [
            ("before", [bytes, b"example.com:443"].concat()),
            ("amid", [b"exam", bytes, b"ple.com:443"].concat()),
            ("in the port", [b"example.com:44", bytes, b"3"].concat()),
            ("after", [b"example.com:443", bytes].concat()),
        ] {
            for protocol in [Protocol::Http1, Protocol::Http2] {
                jobs.push((format!("CONNECT/{name}/{position}/{protocol:?}"), protocol, target.clone()));
            }
        }
    }
    let outcomes = parallel_by(THREADS, &jobs, |(_, protocol, target)| match protocol {
        Protocol::Http1 => connect::open(&mut proxy.http1(), target, b""),
        Protocol::Http2 => {
            let fields: [Field<'_>; 2] = [(b":method", b"CONNECT"), (b":authority", target)];
            connect::over_http2(&mut proxy.http2(), &fields, b"").0
        }
    });
    for ((id, ..), outcome) in jobs.iter().zip(&outcomes) {
        let who = who(outcome);
        *tally.entry(("CONNECT", who)).or_default() += 1;
        failures.check(id, !["nobody", "?", "silence"].contains(&who), format_args!("{outcome}"));
    }
}
