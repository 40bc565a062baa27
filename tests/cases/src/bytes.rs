//! Bytes in the notation of the tables: text, hexadecimal, repetition, concatenation.

use std::ops::Deref;

use serde::{Deserialize, Deserializer};

/// Bytes of a case, which need not be text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(Vec<u8>);

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes(bytes.to_vec())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Hex { hex: String },
    Repeat { repeat: Box<Written>, times: usize },
    Concat { concat: Vec<Written> },
}

impl Written {
    fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Written::Text(text) => Ok(text.clone().into_bytes()),
            Written::Hex { hex } => hex
                .as_bytes()
                .chunks(2)
                .map(|pair| {
                    std::str::from_utf8(pair)
                        .ok()
                        .filter(|pair| pair.len() == 2)
                        .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                        .ok_or_else(|| format!("{hex:?} is not hexadecimal"))
                })
                .collect(),
            Written::Repeat { repeat, times } => Ok(repeat.bytes()?.repeat(*times)),
            Written::Concat { concat } => {
                concat.iter().map(Written::bytes).collect::<Result<Vec<_>, _>>().map(|parts| parts.concat())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Written::deserialize(deserializer)?.bytes().map(Bytes).map_err(serde::de::Error::custom)
    }
}
