//! HTTP/1.1 as bytes: the client sends exactly what a test writes, and reads answers tolerantly.
//!
//! The writer must never complete, escape or check anything. The reader supports what Envoy and the stand-in send:
//! content-length, chunked, and bodies that end with the connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::answer::{Answer, Outcome};

/// How long an answer may take. Silence is an outcome of its own, so this is what a test of silence costs.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A byte stream: a socket, or TLS on one.
pub trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A TCP connection whose reads time out after [`PATIENCE`].
pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("Envoy's port takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// A client's end of a connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes that were read but not yet consumed.
    pending: Vec<u8>,
}

impl Connection {
    /// A plain connection.
    pub fn open(address: SocketAddr) -> Connection {
        Connection::over(Box::new(dial(address)))
    }

    /// HTTP over an existing stream.
    pub fn over(stream: Box<dyn Stream>) -> Connection {
        Connection { stream, pending: Vec::new() }
    }

    /// Sends bytes. A failed write is ignored: the peer may have answered and closed already, and reading the answer
    /// shows it.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Connection {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
        self
    }

    /// Reads the answer to a request of this method, which determines whether there is a body.
    pub fn answer(&mut self, method: &[u8]) -> Outcome {
        let mut interim = Vec::new();
        loop {
            match self.one(method) {
                Ok(Some(answer)) if (100..200).contains(&answer.status) && answer.status != 101 => {
                    interim.push(answer.status);
                }
                Ok(Some(answer)) => return Outcome::Answered(Answer { interim, ..answer }),
                Ok(None) => return Outcome::Closed,
                Err(error) => return Outcome::from_error(&error),
            }
        }
    }

    /// Sends a request and reads its answer.
    pub fn exchange(&mut self, method: &[u8], request: &[u8]) -> Outcome {
        self.send(request).answer(method)
    }

    /// Reads `length` bytes after the last answer: the inside of an upgraded connection.
    pub fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.pending.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.pending.drain(..length).collect())
    }

    /// Reads until the peer closes, and counts the bytes including those already buffered.
    pub fn drain(&mut self) -> io::Result<u64> {
        let pending = self.pending.len() as u64;
        self.pending.clear();
        Ok(pending + io::copy(&mut self.stream, &mut io::sink())?)
    }

    /// Reads only the head of the next answer; its body follows in [`Connection::body_chunk`].
    pub fn head(&mut self) -> Outcome {
        match self.read_head() {
            Ok(Some(answer)) => Outcome::Answered(answer),
            Ok(None) => Outcome::Closed,
            Err(error) => Outcome::from_error(&error),
        }
    }

    /// The next bytes of a body in any framing; empty at the end of the connection.
    pub fn body_chunk(&mut self) -> io::Result<Vec<u8>> {
        if self.pending.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.pending))
    }

    fn one(&mut self, method: &[u8]) -> io::Result<Option<Answer>> {
        let Some(mut answer) = self.read_head()? else { return Ok(None) };
        let tunnel = method == b"CONNECT" && (200..300).contains(&answer.status);
        if method == b"HEAD" || tunnel || answer.status < 200 || matches!(answer.status, 204 | 304) {
            return Ok(Some(answer));
        }
        let chunked = answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        answer.body = match (chunked, length) {
            (true, _) => self.chunks()?,
            (false, Some(length)) => self.bytes(length)?,
            (false, None) => {
                while self.fill()? > 0 {}
                std::mem::take(&mut self.pending)
            }
        };
        Ok(Some(answer))
    }

    fn read_head(&mut self) -> io::Result<Option<Answer>> {
        let Some(start) = self.line()? else { return Ok(None) };
        let status = start.split(|&byte| byte == b' ').nth(1).and_then(|status| str::from_utf8(status).ok());
        let Some(status) = status.and_then(|status| status.parse().ok()) else {
            return Err(io::Error::other(format!("no status line: {:?}", String::from_utf8_lossy(&start))));
        };
        let mut answer = Answer { status, ..Answer::default() };
        loop {
            let line = self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(Some(answer));
            }
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            let value = line.get(colon + 1..).unwrap_or_default().trim_ascii().to_vec();
            answer.headers.push((name, value));
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size = String::from_utf8_lossy(&size);
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                // Trailers, and the empty line after them.
                while self.line()?.is_some_and(|line| !line.is_empty()) {}
                return Ok(body);
            }
            body.extend(self.bytes(size)?);
            self.line()?;
        }
    }

    /// A line without its ending; `None` if the connection ends before the line begins.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.pending.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            if self.fill()? == 0 {
                return if self.pending.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = vec![0; 65536];
        let length = self.stream.read(&mut buffer)?;
        self.pending.extend_from_slice(&buffer[..length]);
        Ok(length)
    }

    /// The stream, for another protocol inside; buffered bytes are lost.
    pub fn into_stream(self) -> Box<dyn Stream> {
        self.stream
    }
}

/// Sends everything and reads all answers, each as the answer to a GET, until the peer closes the connection or is
/// silent for a while: for requests that one side may parse as two.
pub fn all_answers(address: SocketAddr, bytes: &[u8]) -> Vec<Outcome> {
    all_answers_over(Box::new(dial_briefly(address)), bytes)
}

/// A TCP connection whose reads time out sooner than [`PATIENCE`].
pub fn dial_briefly(address: SocketAddr) -> TcpStream {
    // Answers arrive within milliseconds. Half-closing would be quicker, but Envoy then aborts the requests in
    // progress.
    const A_WHILE: Duration = Duration::from_secs(2);
    let stream = dial(address);
    stream.set_read_timeout(Some(A_WHILE)).expect("a timeout");
    stream
}

/// [`all_answers`] over an existing stream.
pub fn all_answers_over(stream: Box<dyn Stream>, bytes: &[u8]) -> Vec<Outcome> {
    let mut connection = Connection::over(stream);
    connection.send(bytes);
    let mut outcomes = Vec::new();
    loop {
        match connection.answer(b"GET") {
            Outcome::Answered(answer) => outcomes.push(Outcome::Answered(answer)),
            Outcome::Silent if outcomes.is_empty() => return vec![Outcome::Silent],
            other if outcomes.is_empty() => return vec![other],
            _ => return outcomes,
        }
    }
}
