//! Requests that one side may parse as two, inside TLS (docs/attacks/inspection.md lists the attempts).

use weir_policy::{Policy, Request, Transport};
use weir_tests::cases::parallel_by;
use weir_tests::{connect, http1, tls};

use super::*;

#[test]
fn one_request_stays_one() {
    const HIDDEN: &str = "POST /hidden HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 0\r\n\r\n";
    let proxy = Inspecting::start(ALL_METHODS);
    let long = HIDDEN.len();
    let shapes = [
        format!(
            "POST /a HTTP/1.1\r\nhost: example.com\r\ncontent-length: {long}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
        ),
        format!(
            "POST /b HTTP/1.1\r\nhost: example.com\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n{HIDDEN}"
        ),
        format!("POST /c HTTP/1.1\r\nhost: example.com\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("POST /d HTTP/1.1\r\nhost: example.com\r\ncontent-length: 0\r\ncontent-length: {long}\r\n\r\n{HIDDEN}"),
        format!("GET /e HTTP/1.1\nhost: example.com\n\n{HIDDEN}"),
        format!("GET /f HTTP/1.1\r\nhost: example.com\r\nx: a\n\n{HIDDEN}"),
        format!("GET /g HTTP/1.1\r\nhost: example.com\r\nhost: evil.example\r\n\r\n{HIDDEN}"),
        format!("GET /h HTTP/1.1\r\nhost: evil.example, example.com\r\n\r\n{HIDDEN}"),
        format!("GET /i HTTP/1.1\r\nhost: example.com@evil.example\r\n\r\n{HIDDEN}"),
        format!("GET /j HTTP/1.1\r\nhost: example.com%2f.evil.example\r\n\r\n{HIDDEN}"),
        format!("GET https://example.com@evil.example/k HTTP/1.1\r\nhost: example.com\r\n\r\n{HIDDEN}"),
        format!("GET /l HTTP/1.1\r\nhost: example.com\r\n  folded: x\r\n\r\n{HIDDEN}"),
        format!("GET /m HTTP/1.1\r\nhost:\r\n\r\n{HIDDEN}"),
        format!("GET /n HTTP/1.1\r\nhost: example.com\r\nx y: z\r\n\r\n{HIDDEN}"),
    ];
    for shape in shapes {
        let mut inside = proxy.http1("example.com");
        inside.send(shape.as_bytes());
        let mut statuses = Vec::new();
        while let Outcome::Answered(answer) = inside.answer(b"GET") {
            statuses.push(answer.status);
            if statuses.len() == 2 {
                break;
            }
        }
        assert!(!statuses.is_empty(), "no answer to {shape:?}");
        for request in proxy.internet.take_received() {
            let allowed = request.host == "example.com" && request.path != "/hidden";
            assert!(allowed, "{shape:?} let this through: {request:?}");
        }
    }
    assert!(proxy.envoy.log_lines().iter().all(|line| !line.message.contains("panicked")));
    passed(get(&mut proxy.http1("example.com"), "example.com", "/alive"));
}

#[test]
fn http2_without_its_name() {
    let proxy = Inspecting::start(ALL_METHODS);
    let mut inside = proxy.http2("example.com");
    let nameless: [Field<'_>; 3] = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/")];
    let outcome = inside.exchange(&nameless);
    assert!(outcome.status().is_none_or(|status| status == 403 || status == 400), "{outcome}");
    let twice: [Field<'_>; 5] = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"example.com"),
        (b":path", b"/"),
        (b"host", b"evil.example"),
    ];
    let outcome = proxy.http2("example.com").exchange(&twice);
    for request in proxy.internet.take_received() {
        assert_eq!(request.host, "example.com", "{outcome}");
    }
    // A protocol other than the negotiated one fails too.
    let tls = tls::trusting(proxy.tunnel("example.com:443"), "example.com", "h2", &proxy.ca_pem);
    is_closed_or_refused(tls);
    origin_saw_nothing(&proxy);
}

fn is_closed_or_refused(stream: Box<dyn Stream>) {
    let mut connection = Connection::over(stream);
    let outcome = get(&mut connection, "evil.example", "/");
    assert!(outcome.status().is_none_or(|status| status >= 400), "{outcome}");
}

/// Every case of `tests/data/attacks.json` inside a tunnel. The answers may differ from the table, which is for plain
/// connections, but the origin may receive no more than the policy allows inside a tunnel to this host.
#[test]
fn attacks() {
    let proxy = Inspecting::start(READ_ONLY);
    let policy = Policy::from_json(READ_ONLY).expect("a policy");
    let attacks = weir_cases::attacks();
    let answers = parallel_by(24, &attacks, |attack| {
        let mut outside = Connection::over(Box::new(http1::dial_briefly(proxy.envoy.address())));
        assert_eq!(connect::open(&mut outside, b"example.com:443", b"").status(), Some(200));
        let inside = tls::trusting(outside.into_stream(), "example.com", "http/1.1", &proxy.ca_pem);
        http1::all_answers_over(inside, &attack.bytes())
    });
    let got_through = answers.iter().flatten().filter(|outcome| outcome.status() == Some(200)).count();
    let received = proxy.internet.take_received();
    assert!(got_through > 10 && received.len() > 10, "the attacks were not made: {got_through}, {}", received.len());
    for request in received {
        let (method, authority, path) = (request.method.as_bytes(), request.host.as_bytes(), request.path.as_bytes());
        let transport = Transport::Tls { server_name: b"example.com" };
        let decision = policy.decide(&Request { method, authority, path, transport, ..Request::default() });
        assert!(decision.is_allowed(), "{request:?}, which the policy refuses: {decision:?}");
        assert_eq!(request.arrival.server_name.as_deref(), Some("example.com"), "{request:?}");
    }
    assert!(proxy.envoy.log_lines().iter().all(|line| !line.message.contains("panicked")));
    passed(get(&mut proxy.http1("example.com"), "example.com", "/alive"));
}
