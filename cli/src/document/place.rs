//! Where in its file a value of a policy document stands.
//!
//! The plugin's parser names places as paths (`allowlist.domains[3]`); an editor wants line and
//! column. This walks a document that is known to be JSON once more and notes where each path
//! begins. It never judges: what it does not understand it leaves without a position.

use std::collections::HashMap;
use std::fmt;

/// A position in a text, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The position of a byte.
pub(crate) fn position(document: &[u8], offset: usize) -> Position {
    let before = document.get(..offset).unwrap_or(document);
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.split(|&byte| byte == b'\n').count();
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count() + 1;
    Position { line, column }
}

/// Where the parser of the plugin stopped, if it stopped at all.
pub(crate) fn syntax_error(document: &[u8]) -> Option<Position> {
    let error = serde_json::from_slice::<serde_json::Value>(document).err()?;
    let start = match error.line() {
        0 | 1 => 0,
        line => document.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(line - 2)?.0 + 1,
    };
    Some(position(document, start + error.column().saturating_sub(1)))
}

/// One value of the document.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    /// Where its key begins; where it begins itself in an array.
    key: usize,
    /// Where it begins.
    value: usize,
}

/// Every place of one document.
pub(crate) struct Places<'d> {
    document: &'d [u8],
    values: Values,
}

/// More than one value at a place where a key stands twice.
type Values = HashMap<String, Vec<Offsets>>;

impl<'d> Places<'d> {
    /// Finds the places of `document`, which has to be JSON.
    pub(crate) fn find(document: &'d [u8]) -> Places<'d> {
        let mut walk = Walk { document, at: 0, values: Values::new() };
        walk.value("", None, 0);
        Places { document, values: walk.values }
    }

    /// Where the value at `place` begins.
    pub(crate) fn value(&self, place: &str) -> Option<Position> {
        self.values.get(place)?.first().map(|found| position(self.document, found.value))
    }

    /// Where the key of `place` begins, the `nth` time (from 0) that it stands there.
    pub(crate) fn key(&self, place: &str, nth: usize) -> Option<Position> {
        self.values.get(place)?.get(nth).map(|found| position(self.document, found.key))
    }
}

/// As deep as `serde_json` reads.
const MAX_DEPTH: usize = 128;

struct Walk<'d> {
    document: &'d [u8],
    at: usize,
    values: Values,
}

impl Walk<'_> {
    /// Walks over one value; `None` at what is no JSON.
    fn value(&mut self, place: &str, key: Option<usize>, depth: usize) -> Option<()> {
        self.space();
        let start = self.at;
        let offsets = Offsets { key: key.unwrap_or(start), value: start };
        self.values.entry(place.to_owned()).or_default().push(offsets);
        match self.peek()? {
            _ if depth > MAX_DEPTH => None,
            b'{' => self.list(b'}', |walk, _| {
                let key = walk.at;
                let name = field_name(walk.string()?);
                walk.space();
                walk.eat(b':')?;
                let dot = if place.is_empty() { "" } else { "." };
                walk.value(&format!("{place}{dot}{name}"), Some(key), depth + 1)
            }),
            b'[' => self.list(b']', |walk, index| walk.value(&format!("{place}[{index}]"), None, depth + 1)),
            b'"' => self.string().map(drop),
            _ => {
                while self.peek().is_some_and(|byte| !byte.is_ascii_whitespace() && !b",]}".contains(&byte)) {
                    self.at += 1;
                }
                Some(())
            }
        }
    }

    /// Walks over what an object or array holds.
    fn list(&mut self, close: u8, mut item: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.at += 1;
        self.space();
        if self.eat(close).is_some() {
            return Some(());
        }
        for index in 0.. {
            self.space();
            item(self, index)?;
            self.space();
            if self.eat(b',').is_none() {
                break;
            }
        }
        self.eat(close)
    }

    /// Walks over a string; returns it with its quotes.
    fn string(&mut self) -> Option<&[u8]> {
        let start = self.at;
        self.eat(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.document.get(start..self.at)
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.document.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }
}

/// A key as the plugin's parser writes it into a place.
fn field_name(literal: &[u8]) -> String {
    let name: String = serde_json::from_slice(literal).unwrap_or_default();
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{
  "allowlist": { "domains": ["a.com", {"domain": "b.com",
      "methods": ["GET", "é"], "ports": [1]}, [], {} ] },
  "x": 1, "x": -2.5e3, "a\nb": null, "o": {"": [true]}
}"#;

    #[expect(clippy::unnecessary_wraps, reason = "compared with what may be missing")]
    fn at(line: usize, column: usize) -> Option<Position> {
        Some(Position { line, column })
    }

    #[test]
    fn finds_values_and_keys() {
        let places = Places::find(DOCUMENT.as_bytes());
        assert_eq!(places.value(""), at(1, 1));
        assert_eq!(places.value("allowlist"), at(2, 16));
        assert_eq!(places.key("allowlist", 0), at(2, 3));
        assert_eq!(places.value("allowlist.domains[0]"), at(2, 30));
        assert_eq!(places.value("allowlist.domains[1].methods[1]"), at(3, 26));
        assert_eq!(places.key("allowlist.domains[1].ports", 0), at(3, 32));
        assert_eq!(places.value("allowlist.domains[3]"), at(3, 51));
        assert_eq!(places.key("x", 1), at(4, 11));
        assert_eq!(places.key("a\\nb", 0), at(4, 24));
        assert_eq!(places.value("o.[0]"), at(4, 49));
        assert_eq!(places.value("allowlist.domains[4]"), None);
        assert_eq!(places.key("x", 2), None);
    }

    #[test]
    fn survives_what_is_no_json() {
        for broken in ["", "{", "{\"a\"", "[1, ", "\"abc\\", "{\"a\":}", "]"] {
            Places::find(broken.as_bytes());
        }
        Places::find(&b"[".repeat(100_000));
    }

    #[test]
    fn finds_where_the_parser_stopped() {
        assert_eq!(syntax_error(b"{}"), None);
        assert_eq!(syntax_error(b"{\n  \"a\": 1,,\n}"), at(2, 10));
        assert_eq!(syntax_error("\n{\"é\" 1}".as_bytes()), at(2, 6));
        assert_eq!(syntax_error(b"{").map(|position| position.line), Some(1));
    }
}
