//! Where in its file each value of a policy stands.
//!
//! The plugin's parser names a place as a path (`allowlist.domains[3]`); an editor wants line and column. Nothing here
//! judges: a place that the tree does not have is left without a position.

use std::collections::HashMap;

use super::position::Position;
use super::tree::{Content, Node};

/// A value, or a key that stands there.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// Where its key begins; where it begins itself in an array.
    key: Position,
    /// Where it begins.
    value: Position,
}

/// Every place of one document. A key that stands twice has more than one value at its place.
#[derive(Debug, Default)]
pub(crate) struct Places(HashMap<String, Vec<Found>>);

impl Places {
    /// The places of a tree.
    pub(super) fn of(tree: &Node) -> Places {
        let mut places = Places::default();
        places.add(String::new(), tree.at, tree);
        places
    }

    fn add(&mut self, place: String, key: Position, node: &Node) {
        match &node.content {
            Content::Scalar(_) => {}
            Content::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.add(item_of(&place, index), item.at, item);
                }
            }
            Content::Object(fields) => {
                for (key, value) in fields {
                    self.add(field_of(&place, &key.name), key.at, value);
                }
            }
        }
        self.0.entry(place).or_default().push(Found { key, value: node.at });
    }

    /// Where the value at `place` begins.
    pub(crate) fn value(&self, place: &str) -> Option<Position> {
        Some(self.0.get(place)?.first()?.value)
    }

    /// Where the key of `place` begins, the `nth` time (from 0) that it stands there.
    pub(crate) fn key(&self, place: &str, nth: usize) -> Option<Position> {
        Some(self.0.get(place)?.get(nth)?.key)
    }
}

/// The place of a field, as the plugin's parser writes it.
pub(super) fn field_of(place: &str, name: &str) -> String {
    let name: String = name.chars().take(64).flat_map(char::escape_default).collect();
    if place.is_empty() { name } else { format!("{place}.{name}") }
}

/// The place of an item, as the plugin's parser writes it.
pub(super) fn item_of(place: &str, index: usize) -> String {
    format!("{place}[{index}]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::jsonc;

    const DOCUMENT: &str = r#"{
  "allowlist": { "domains": ["a.com", {"domain": "b.com",
      "methods": ["GET", "é"], "ports": [1]}, [], {} ] },
  "x": 1, "x": -2.5e3, "a\nb": null, "o": {"": [true]}, "é": 1
}"#;

    #[expect(clippy::unnecessary_wraps, reason = "compared with what may be missing")]
    fn at(line: usize, column: usize) -> Option<Position> {
        Some(Position { line, column })
    }

    #[test]
    fn finds_values_and_keys() {
        let places = Places::of(&jsonc::tree(DOCUMENT).unwrap());
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
        assert_eq!(places.key("\\u{e9}", 0), at(4, 57));
        assert_eq!(places.value("allowlist.domains[4]"), None);
        assert_eq!(places.key("x", 2), None);
    }
}
