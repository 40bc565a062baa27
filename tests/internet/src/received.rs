//! What the stand-in received.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The first Host header, or the target's authority.
    pub host: String,
    /// The target's path with its query.
    pub path: String,
    /// The headers in the order they came, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body's length in bytes.
    pub body: u64,
    /// How it came.
    pub transport: Transport,
}

/// How a request came to the stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// `HTTP/1.1`, `HTTP/2.0`, ...
    pub protocol: String,
    /// The name that the TLS hello asked for, where it came by TLS.
    pub server_name: Option<String>,
}

impl Received {
    /// The first value of a header, where it is UTF-8; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(own, _)| own == name)?;
        str::from_utf8(value).ok()
    }
}

pub(crate) type Log = Arc<Mutex<Vec<Received>>>;

pub(crate) fn lock(log: &Log) -> MutexGuard<'_, Vec<Received>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
