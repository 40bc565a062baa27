//! HTTP/2 frames written by hand (RFC 9113), headers as HPACK literals without Huffman coding (RFC 7541 section 6.2.2):
//! any bytes can be sent as a name or a value, in any order, as often as a test likes.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use loona_hpack::Decoder;

use crate::answer::{Answer, Outcome};
use crate::http1::{Stream, dial};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// RFC 9113 section 4.2: a peer must accept larger frames only after it says so.
const FRAME: usize = 16384;

/// A name and a value.
pub type Field<'f> = (&'f [u8], &'f [u8]);

/// A client's end of a connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    decoder: Decoder<'static>,
    next: u32,
    streams: HashMap<u32, State>,
    /// The error code of a received GOAWAY.
    gone: Option<u32>,
}

/// What the peer sent on one stream so far.
#[derive(Default)]
struct State {
    answer: Answer,
    interim: Vec<u16>,
    has_head: bool,
    ended: bool,
    reset: Option<u32>,
}

impl Connection {
    /// With prior knowledge, without TLS.
    pub fn open(address: SocketAddr) -> Connection {
        Connection::over(Box::new(dial(address)))
    }

    /// HTTP/2 over an existing stream.
    pub fn over(stream: Box<dyn Stream>) -> Connection {
        let mut connection =
            Connection { stream, decoder: Decoder::new(), next: 1, streams: HashMap::new(), gone: None };
        let mut start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // SETTINGS_INITIAL_WINDOW_SIZE and the connection's window at their maximum, so that no update is needed.
        start.extend(frame(SETTINGS, 0, 0, &[&[0, 4][..], &0x7fff_ffff_u32.to_be_bytes()].concat()));
        start.extend(frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()));
        connection.raw(&start);
        connection
    }

    /// Sends raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        // The peer may have closed already; its GOAWAY is read later.
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// Opens a stream with these fields and returns its number.
    pub fn headers(&mut self, fields: &[Field<'_>], end: bool) -> u32 {
        let number = self.next;
        self.next += 2;
        self.headers_on(number, fields, end);
        number
    }

    /// Sends fields on an open stream: trailers.
    pub fn headers_on(&mut self, number: u32, fields: &[Field<'_>], end: bool) {
        let block = encode(fields);
        let mut frames = Vec::new();
        let mut parts = block.chunks(FRAME).peekable();
        let mut kind = HEADERS;
        let mut flags = if end { END_STREAM } else { 0 };
        if block.is_empty() {
            frames.extend(frame(HEADERS, flags | END_HEADERS, number, &[]));
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                flags |= END_HEADERS;
            }
            frames.extend(frame(kind, flags, number, part));
            (kind, flags) = (CONTINUATION, 0);
        }
        self.raw(&frames);
    }

    /// Sends a part of a body, or bytes inside a tunnel.
    pub fn data(&mut self, number: u32, bytes: &[u8], end: bool) {
        self.raw(&frame(DATA, if end { END_STREAM } else { 0 }, number, bytes));
    }

    /// Resets a stream.
    pub fn reset(&mut self, number: u32, code: u32) {
        self.raw(&frame(RST_STREAM, 0, number, &code.to_be_bytes()));
    }

    /// Sends a request without a body and reads its answer.
    pub fn exchange(&mut self, fields: &[Field<'_>]) -> Outcome {
        let number = self.headers(fields, true);
        self.answer(number)
    }

    /// The whole answer on a stream.
    pub fn answer(&mut self, number: u32) -> Outcome {
        self.until(number, |state| state.ended)
    }

    /// The answer up to its headers, which opens a tunnel.
    pub fn head(&mut self, number: u32) -> Outcome {
        self.until(number, |state| state.has_head)
    }

    /// The answer once its body has this length: bytes from a tunnel.
    pub fn body_of(&mut self, number: u32, length: usize) -> Outcome {
        self.until(number, |state| state.ended || state.answer.body.len() >= length)
    }

    fn until(&mut self, number: u32, enough: impl Fn(&State) -> bool) -> Outcome {
        loop {
            if let Some(state) = self.streams.get(&number) {
                // A complete answer counts even if a reset follows it (RFC 9113 section 8.1).
                if state.has_head && enough(state) {
                    let answer = Answer { interim: state.interim.clone(), ..state.answer.clone() };
                    return Outcome::Answered(answer);
                }
                if let Some(code) = state.reset {
                    return Outcome::Reset(code);
                }
            }
            if let Err(error) = self.read_frame() {
                return match self.gone {
                    Some(code) => Outcome::GoAway(code),
                    None => Outcome::from_error(&error),
                };
            }
            if let Some(code) = self.gone.filter(|code| *code != 0) {
                return Outcome::GoAway(code);
            }
        }
    }

    fn read_frame(&mut self) -> io::Result<()> {
        let (kind, flags, number, payload) = self.frame()?;
        match kind {
            HEADERS => {
                let mut block = unpadded(flags, &payload).to_vec();
                if flags & PRIORITY != 0 {
                    block.drain(..5.min(block.len()));
                }
                let mut done = flags & END_HEADERS != 0;
                while !done {
                    let (_, more, _, part) = self.frame()?;
                    block.extend(part);
                    done = more & END_HEADERS != 0;
                }
                self.fields(number, &block, flags & END_STREAM != 0)?;
            }
            DATA => {
                let state = self.streams.entry(number).or_default();
                state.answer.body.extend_from_slice(unpadded(flags, &payload));
                state.ended |= flags & END_STREAM != 0;
            }
            RST_STREAM => self.streams.entry(number).or_default().reset = Some(number_at(&payload, 0)),
            SETTINGS if flags & ACK == 0 => self.raw(&frame(SETTINGS, ACK, 0, &[])),
            PING if flags & ACK == 0 => self.raw(&frame(PING, ACK, 0, &payload)),
            GOAWAY => self.gone = Some(number_at(&payload, 4)),
            _ => {}
        }
        Ok(())
    }

    fn fields(&mut self, number: u32, block: &[u8], end: bool) -> io::Result<()> {
        let fields = self.decoder.decode(block).map_err(|error| io::Error::other(format!("HPACK: {error:?}")))?;
        let state = self.streams.entry(number).or_default();
        state.ended |= end;
        let status = fields.iter().find(|(name, _)| &name[..] == b":status");
        let status = status.and_then(|(_, value)| str::from_utf8(value).ok()?.parse().ok());
        match status {
            Some(status @ 100..200) => state.interim.push(status),
            // Without a status these are trailers.
            None => {}
            Some(status) => {
                state.has_head = true;
                state.answer.status = status;
                state.answer.headers = fields
                    .into_iter()
                    .filter(|(name, _)| name.first() != Some(&b':'))
                    .map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value.clone()))
                    .collect();
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, number @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload)?;
        Ok((kind, flags, u32::from_be_bytes(number) & 0x7fff_ffff, payload))
    }
}

/// The inside of a tunnel on a stream, as a byte stream.
pub struct Tunnel {
    connection: Connection,
    stream: u32,
    /// How many of the received bytes were read.
    taken: usize,
}

impl Tunnel {
    /// The tunnel on this stream, whose CONNECT Envoy has answered.
    pub fn new(connection: Connection, stream: u32) -> Tunnel {
        Tunnel { connection, stream, taken: 0 }
    }
}

impl Read for Tunnel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(state) = self.connection.streams.get(&self.stream) {
                let left = &state.answer.body[self.taken..];
                if !left.is_empty() {
                    let length = left.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&left[..length]);
                    self.taken += length;
                    return Ok(length);
                }
                if state.ended || state.reset.is_some() {
                    return Ok(0);
                }
            }
            self.connection.read_frame()?;
        }
    }
}

impl Write for Tunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(FRAME);
        self.connection.data(self.stream, &bytes[..length], false);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A frame (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Encodes fields as literals without indexing, names and values as they are.
pub fn encode(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for part in [name, value] {
            integer(&mut block, part.len());
            block.extend_from_slice(part);
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn integer(block: &mut Vec<u8>, number: usize) {
    let byte = |number: usize| u8::try_from(number).expect("a byte");
    if number < 127 {
        return block.push(byte(number));
    }
    block.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        block.push(byte(rest % 128) | 0x80);
        rest /= 128;
    }
    block.push(byte(rest));
}

fn unpadded(flags: u8, payload: &[u8]) -> &[u8] {
    if flags & PADDED == 0 {
        return payload;
    }
    let padding = usize::from(payload.first().copied().unwrap_or_default());
    payload.get(1..payload.len().saturating_sub(padding)).unwrap_or_default()
}

fn number_at(payload: &[u8], at: usize) -> u32 {
    payload.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}
