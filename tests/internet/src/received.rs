//! The requests that the stand-in received.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The first Host header, or the target's authority.
    pub host: String,
    /// The target's path with its query.
    pub path: String,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body's length in bytes.
    pub body: u64,
    /// How it arrived.
    pub arrival: Arrival,
}

/// How a request arrived at the stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// `HTTP/1.1`, `HTTP/2.0`, ...
    pub protocol: String,
    /// The name in the `ClientHello`, if it arrived over TLS.
    pub server_name: Option<String>,
}

impl Received {
    /// The first value of a header, if it is UTF-8; the name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(own, _)| own == name)?;
        str::from_utf8(value).ok()
    }
}

pub(crate) type Log = Arc<Mutex<Vec<Received>>>;

pub(crate) fn lock(log: &Log) -> MutexGuard<'_, Vec<Received>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
