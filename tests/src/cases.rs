//! Sends a request of the case tables over each way that can express it.
//!
//! Each request carries its name in a header `x-case`, because many run concurrently: the name identifies it among what
//! the stand-in received.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_cases::{Framing, RequestCase};
use weir_internet::Received;

use crate::{Outcome, Proxy, connect, http1, http2};

/// The header that names a request.
pub const TAG: &str = "x-case";
const BODY: &[u8] = b"body!";
/// The bytes that test an upgraded connection.
const ECHO: &[u8] = b"\x81\x04echo";

/// How a request reaches Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Raw HTTP/1.1, for every method but CONNECT.
    Http1,
    /// Raw HTTP/2, for every method.
    Http2,
    /// CONNECT over HTTP/1.1.
    Connect,
}

impl Way {
    /// All ways.
    pub const ALL: [Way; 3] = [Way::Http1, Way::Http2, Way::Connect];

    /// Its name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Way::Http1 => "http1",
            Way::Http2 => "http2",
            Way::Connect => "connect",
        }
    }

    /// Whether requests of this method can go this way.
    pub fn takes(self, method: &[u8]) -> bool {
        match self {
            Way::Http1 => method != b"CONNECT",
            Way::Connect => method == b"CONNECT",
            Way::Http2 => true,
        }
    }
}

/// The result of sending a request.
#[derive(Debug)]
pub struct Sent {
    /// The outcome of the request.
    pub outcome: Outcome,
    /// The outcome of the request inside the tunnel, if one was opened.
    pub inside: Option<Outcome>,
    /// Whether the stand-in echoed bytes, if the request was upgraded.
    pub echoed: Option<bool>,
}

impl From<Outcome> for Sent {
    fn from(outcome: Outcome) -> Sent {
        Sent { outcome, inside: None, echoed: None }
    }
}

/// Sends the request over one way. `proxy` must speak TLS if the case does.
pub fn send(proxy: &Proxy, way: Way, case: &RequestCase, tag: &str) -> Sent {
    // No way can send a server name that is not text; the tables say so in `not_over`.
    let tls = case.tls.as_ref().map(|name| str::from_utf8(name).expect("a server name that can be sent"));
    let http1 = || match tls {
        Some(name) => proxy.http1_tls(name),
        None => proxy.http1(),
    };
    match way {
        Way::Http1 => over_http1(http1(), case, tag),
        Way::Connect => over_connect(http1(), case, tag),
        Way::Http2 => over_http2(
            match tls {
                Some(name) => proxy.http2_tls(name),
                None => proxy.http2(),
            },
            case,
            tag,
        ),
    }
}

fn lines(case: &RequestCase, tag: &str) -> Vec<u8> {
    let mut lines = format!("{TAG}: {tag}\r\n").into_bytes();
    for (name, value) in &case.headers {
        lines.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    lines
}

/// The given bytes, with the request's name inserted after the first line.
fn tagged(bytes: &[u8], tag: &str) -> Vec<u8> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").map_or(bytes.len(), |at| at + 2);
    let (line, rest) = bytes.split_at(end);
    [line, format!("{TAG}: {tag}\r\n").as_bytes(), rest].concat()
}

fn written(case: &RequestCase, tag: &str) -> Vec<u8> {
    let mut request = [case.method(), b" ", case.path().unwrap_or_default(), b" HTTP/1.1\r\n"].concat();
    if let Some(authority) = case.authority() {
        request.extend([b"host: ", authority, b"\r\n"].concat());
    }
    request.extend(lines(case, tag));
    if let Some(protocol) = &case.upgrade {
        request.extend(format!("connection: upgrade\r\nupgrade: {protocol}\r\n").into_bytes());
    }
    let (header, body): (&[u8], &[u8]) = match case.framing() {
        None => (b"", b""),
        Some(Framing::Length) => (b"content-length: 5\r\n", BODY),
        Some(Framing::Chunked) => (b"transfer-encoding: chunked\r\n", b"5\r\nbody!\r\n0\r\n\r\n"),
        Some(Framing::ChunkedEmpty) => (b"transfer-encoding: chunked\r\n", b"0\r\n\r\n"),
        Some(Framing::ZeroLength) => (b"content-length: 0\r\n", b""),
    };
    request.extend([header, b"\r\n", body].concat());
    request
}

fn over_http1(mut connection: http1::Connection, case: &RequestCase, tag: &str) -> Sent {
    let request = case.bytes.as_ref().map_or_else(|| written(case, tag), |bytes| tagged(bytes, tag));
    let outcome = connection.exchange(case.method(), &request);
    let echoed = (outcome.status() == Some(101)).then(|| {
        connection.send(ECHO);
        connection.bytes(ECHO.len()).is_ok_and(|bytes| bytes == ECHO)
    });
    Sent { outcome, inside: None, echoed }
}

fn over_connect(mut connection: http1::Connection, case: &RequestCase, tag: &str) -> Sent {
    let outcome = match &case.bytes {
        Some(bytes) => connection.exchange(b"CONNECT", &tagged(bytes, tag)),
        None => connect::open(&mut connection, case.authority().unwrap_or_default(), &lines(case, tag)),
    };
    let opened = outcome.status().is_some_and(|status| (200..300).contains(&status));
    let inside = opened.then(|| connection.exchange(b"GET", &inside_tunnel(tag)));
    Sent { outcome, inside, echoed: None }
}

fn inside_tunnel(tag: &str) -> Vec<u8> {
    connect::inside("inside.example", &format!("{TAG}: {tag}\r\n"))
}

fn over_http2(mut connection: http2::Connection, case: &RequestCase, tag: &str) -> Sent {
    if let Some(fields) = &case.fields {
        let tag = (TAG.as_bytes(), tag.as_bytes());
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), &**value)).chain([tag]);
        return connection.exchange(&fields.collect::<Vec<_>>()).into();
    }
    let scheme: &[u8] = if case.tls.is_some() { b"https" } else { b"http" };
    let connects = case.method() == b"CONNECT";
    let mut fields: Vec<http2::Field<'_>> = Vec::new();
    match &case.upgrade {
        // RFC 8441: the only kind of upgrade in HTTP/2.
        Some(protocol) => fields.extend([(&b":method"[..], &b"CONNECT"[..]), (b":protocol", protocol.as_bytes())]),
        None => fields.push((b":method", case.method())),
    }
    if !connects {
        fields.push((b":scheme", scheme));
    }
    if let Some(path) = case.path() {
        fields.push((b":path", path));
    }
    if let Some(authority) = case.authority() {
        fields.push((b":authority", authority));
    }
    fields.push((TAG.as_bytes(), tag.as_bytes()));
    fields.extend(case.headers.iter().map(|(name, value)| (name.as_bytes(), &**value)));
    match case.framing() {
        Some(Framing::Length) => fields.push((b"content-length", b"5")),
        Some(Framing::ZeroLength) => fields.push((b"content-length", b"0")),
        _ => {}
    }
    if connects {
        let (outcome, inside) = connect::over_http2(&mut connection, &fields, &inside_tunnel(tag));
        return Sent { outcome, inside, echoed: None };
    }
    let body = match case.framing() {
        Some(Framing::Length | Framing::Chunked) => Some(BODY),
        Some(Framing::ChunkedEmpty) => Some(&b""[..]),
        Some(Framing::ZeroLength) | None => None,
    };
    if case.upgrade.is_some() {
        return upgrade_http2(&mut connection, &fields, body);
    }
    let stream = connection.headers(&fields, body.is_none());
    if let Some(body) = body {
        connection.data(stream, body, true);
    }
    connection.answer(stream).into()
}

fn upgrade_http2(connection: &mut http2::Connection, fields: &[http2::Field<'_>], body: Option<&[u8]>) -> Sent {
    let stream = connection.headers(fields, false);
    if let Some(body) = body {
        connection.data(stream, body, false);
    }
    match connection.head(stream) {
        outcome if outcome.status() == Some(200) => {
            connection.data(stream, ECHO, false);
            let echoed = connection.body_of(stream, ECHO.len()).answer().is_some_and(|answer| answer.body == ECHO);
            Sent { outcome, inside: None, echoed: Some(echoed) }
        }
        outcome if outcome.answer().is_some() => connection.answer(stream).into(),
        outcome => outcome.into(),
    }
}

/// What the stand-in received since the last call, by request name.
pub fn received(proxy: &Proxy) -> BTreeMap<String, Vec<Received>> {
    let mut by_tag: BTreeMap<String, Vec<Received>> = BTreeMap::new();
    for request in proxy.internet.take_received() {
        let tag = request.header(TAG).unwrap_or_default().to_owned();
        by_tag.entry(tag).or_default().push(request);
    }
    by_tag
}

/// Runs `work` for each of `jobs`, several at a time, and returns the results in order.
pub fn parallel<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    parallel_by(6, jobs, work)
}

/// The same with this number of threads, for jobs that mostly wait.
pub fn parallel_by<J: Sync, R: Send>(threads: usize, jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return done };
            done.push((at, work(job)));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.min(jobs.len())).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a request's thread")).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
