//! What somebody sends to get past the proxy, byte for byte, and what becomes of it.

use serde::Deserialize;

/// One connection: everything is sent at once, and nothing follows.
#[derive(Debug, Deserialize)]
pub struct Attack {
    /// Unique in its table.
    pub id: String,
    /// The bytes, in pieces that are sent one after the other: text, or `{"repeat": text, "times": n}`.
    send: Vec<Piece>,
    /// The answers in order: a status, and the reason's code where it is the plugin that refused; `silence` where the
    /// connection stays open without one.
    pub answers: Vec<String>,
    /// What may reach an origin, in order: method, host and path.
    pub reaches: Vec<String>,
    /// Cases of the survey, by their ids, that this one is too: see `survey.json`.
    #[serde(default)]
    pub survey: Vec<String>,
    /// Why it could work.
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
