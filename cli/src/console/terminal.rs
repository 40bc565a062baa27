//! What is printed and in which colour. Data goes to standard output, words about it to standard
//! error. Colour is left out where the stream is no terminal or `NO_COLOR` is set.
//!
//! Nothing here may fail: when a reader has gone (`weir explain ... | head -1`) there is nobody left
//! to tell.

use std::fmt;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};

/// Allowed, done.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Refused, wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Legal and unwise.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
/// What the eye should find first.
pub(crate) const STRONG: Style = Style::new().bold();
/// What can be skipped.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Some text in a style.
pub(crate) struct Painted<T>(Style, T);

/// `text` in `style`.
pub(crate) fn paint<T: fmt::Display>(style: Style, text: T) -> Painted<T> {
    Painted(style, text)
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.0.render(), self.1, self.0.render_reset())
    }
}

/// Prints a line of data, or several.
pub(crate) fn data(line: impl fmt::Display) {
    let mut stdout = anstream::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Prints a line of words, or several.
pub(crate) fn words(line: impl fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Prints a mistake in the command line or its input.
pub(crate) fn mistake(line: impl fmt::Display) {
    words(format_args!("{} {line}", paint(BAD, "error:")));
}

/// `1 mistake`, `2 mistakes`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Bytes from a client or a log as one line of text: control characters and what is not UTF-8 are
/// escaped, so that nothing that was refused can paint on the terminal.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().iter().flat_map(|byte| byte.escape_ascii()).map(char::from));
    }
    text
}

/// Names a line may hold before the rest is only counted.
pub(crate) const SHOWN: usize = 6;

/// The first few of `names`, and how many more there are.
pub(crate) fn shortened(names: &[&str]) -> String {
    let shown = names.get(..SHOWN.min(names.len())).unwrap_or_default().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_wrote_stays_on_its_line() {
        assert_eq!(shown(b"a\x1b[31m\r\n\xffb\xc3\xa9"), "a\\u{1b}[31m\\r\\n\\xffb\u{e9}");
    }
}
