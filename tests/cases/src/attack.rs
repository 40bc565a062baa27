//! What an attacker sends to get past the proxy, byte for byte, and how Envoy must answer.

use serde::Deserialize;

/// One connection: the client sends all bytes without waiting, and nothing after them.
#[derive(Debug, Deserialize)]
pub struct Attack {
    /// Unique in its table.
    pub id: String,
    /// The bytes, in consecutive pieces: text, or `{"repeat": text, "times": n}`.
    send: Vec<Piece>,
    /// The answers in order: a status, with the reason's code if the plugin refused; `silence` if the connection stays
    /// open without an answer.
    pub answers: Vec<String>,
    /// What may reach an origin, in order: method, host and path.
    pub reaches: Vec<String>,
    /// The ids of the survey's cases (see `survey.json`) that this case covers too.
    #[serde(default)]
    pub survey: Vec<String>,
    /// Why the attack could work.
    pub reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Repeated { repeat: String, times: usize },
}

impl Attack {
    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in &self.send {
            match piece {
                Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Piece::Repeated { repeat, times } => bytes.extend(repeat.as_bytes().repeat(*times)),
            }
        }
        bytes
    }
}
