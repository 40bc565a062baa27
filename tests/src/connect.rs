//! CONNECT: opens a tunnel, and sends plain HTTP inside it to the stand-in.

use crate::answer::Outcome;
use crate::http1;
use crate::http2::{self, Field};

/// Requests a tunnel over HTTP/1.1. After a 2xx the connection is the inside of the tunnel.
pub fn open(connection: &mut http1::Connection, authority: &[u8], headers: &[u8]) -> Outcome {
    let request = [b"CONNECT ", authority, b" HTTP/1.1\r\nhost: ", authority, b"\r\n", headers, b"\r\n"].concat();
    connection.exchange(b"CONNECT", &request)
}

/// A request to send through a tunnel, which the origin then closes.
pub fn inside(host: &str, headers: &str) -> Vec<u8> {
    format!("GET /inside HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n").into_bytes()
}

/// Requests a tunnel over HTTP/2, sends `inside` through it if it opens, and returns the answer to CONNECT and the one
/// from inside.
pub fn over_http2(
    connection: &mut http2::Connection,
    fields: &[Field<'_>],
    inside: &[u8],
) -> (Outcome, Option<Outcome>) {
    let stream = connection.headers(fields, false);
    let opened = connection.head(stream);
    if !opened.status().is_some_and(|status| (200..300).contains(&status)) {
        // The refusal has a body, which ends the stream.
        return (if opened.answer().is_some() { connection.answer(stream) } else { opened }, None);
    }
    connection.data(stream, inside, false);
    let through = match connection.answer(stream) {
        Outcome::Answered(answer) => {
            let bytes = Box::new(std::io::Cursor::new(answer.body));
            http1::Connection::over(bytes).answer(b"GET")
        }
        other => other,
    };
    (opened, Some(through))
}
