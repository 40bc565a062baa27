//! Positions in a text, as editors count them.

use std::fmt;

/// A position in a text, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Turns the offsets of bytes into positions. Offsets that grow cost one pass over the text in all.
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
    position: Position,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Cursor<'t> {
        Cursor { text, at: 0, position: Position { line: 1, column: 1 } }
    }

    /// The position of the byte at `offset`.
    pub(super) fn position(&mut self, offset: usize) -> Position {
        if offset < self.at {
            *self = Cursor::new(self.text);
        }
        for character in self.text.get(self.at..offset).unwrap_or_default().chars() {
            if character == '\n' {
                self.position = Position { line: self.position.line + 1, column: 1 };
            } else {
                self.position.column += 1;
            }
        }
        self.at = offset;
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_back_too() {
        let mut cursor = Cursor::new("é\n\nab");
        for (offset, line, column) in [(0, 1, 1), (5, 3, 2), (2, 1, 2), (3, 2, 1), (99, 2, 1)] {
            assert_eq!(cursor.position(offset), Position { line, column }, "{offset}");
        }
    }
}
