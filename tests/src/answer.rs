//! An answer as received, from either protocol.

use std::fmt;
use std::io;

/// A status, headers and a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status of the final answer.
    pub status: u16,
    /// The statuses of the interim answers (100) before it.
    pub interim: Vec<u16>,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, unframed.
    pub body: Vec<u8>,
}

impl Answer {
    /// The only value of a header as text; `None` if it is absent, repeated or not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(own, _)| own == name);
        let (_, value) = values.next()?;
        if values.next().is_some() {
            return None;
        }
        str::from_utf8(value).ok()
    }

    /// Whether there is such a header.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own == name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The reason in `x-weir-decision`, if the plugin refused the request.
    pub fn reason(&self) -> Option<&str> {
        let parameters = self.header("x-weir-decision")?.strip_prefix("deny; reason=")?;
        parameters.split(';').next()
    }
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered(Answer),
    /// The connection was closed without an answer.
    Closed,
    /// HTTP/2: the stream was reset with this error code.
    Reset(u32),
    /// HTTP/2: the peer sent GOAWAY with this error code.
    GoAway(u32),
    /// Nothing arrived within the client's time limit.
    Silent,
}

impl Outcome {
    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Outcome::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// The status of the answer, if there is one.
    pub fn status(&self) -> Option<u16> {
        self.answer().map(|answer| answer.status)
    }

    /// The answer; anything else fails the test.
    #[track_caller]
    pub fn expect_answer(self) -> Answer {
        match self {
            Outcome::Answered(answer) => answer,
            other => panic!("no answer: {other}"),
        }
    }

    /// The outcome for a failed read.
    pub(crate) fn from_error(error: &io::Error) -> Outcome {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Outcome::Silent,
            _ => Outcome::Closed,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Answered(answer) => {
                let text: String = answer.text().chars().take(60).collect();
                match answer.header("x-weir-decision") {
                    Some(decision) => write!(f, "{} ({decision})", answer.status),
                    None => write!(f, "{} by Envoy or the origin ({text:?})", answer.status),
                }
            }
            Outcome::Closed => f.write_str("closed"),
            Outcome::Reset(code) => write!(f, "stream reset ({code})"),
            Outcome::GoAway(code) => write!(f, "GOAWAY ({code})"),
            Outcome::Silent => f.write_str("silence"),
        }
    }
}
