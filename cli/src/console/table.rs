//! A table whose columns are as wide as what stands in them.

use std::fmt::Write as _;

use anstyle::Style;

use crate::console::terminal::{FAINT, paint};

/// A cell: a text and its style.
pub(crate) type Cell = (Style, String);

/// Spaces between two columns.
const GAP: usize = 2;

/// A heading, and rows of as many cells.
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(heading: &[&str]) -> Table {
        Table { rows: vec![heading.iter().map(|text| (FAINT, (*text).to_owned())).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table, one line for each row, without spaces at a line's end.
    pub(crate) fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, (_, text)) in widths.iter_mut().zip(row) {
                *width = (*width).max(length(text));
            }
        }
        let mut rendered = String::new();
        for row in &self.rows {
            let mut spaces = 0;
            for ((style, text), width) in row.iter().zip(&widths) {
                if !text.is_empty() {
                    let _ = write!(rendered, "{:spaces$}{}", "", paint(*style, text));
                    spaces = 0;
                }
                spaces += width + GAP - length(text);
            }
            rendered.push('\n');
        }
        rendered.pop();
        rendered
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let plain = |text: &str| (Style::new(), text.to_owned());
        let mut table = Table::new(&["a", "bb", "c"]);
        table.row(vec![plain("1234"), plain(""), plain("x")]);
        table.row(vec![plain("é"), plain("1"), plain("")]);
        let rendered = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(rendered, "a     bb  c\n1234      x\né     1");
    }
}
