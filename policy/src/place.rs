//! Where a value stands in a policy document, as messages and reports name it: `allowlist.domains[3].methods[0]`.

use std::fmt;

/// The steps from the document down to a value, linked without allocating.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Document,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl<'a> Place<'a> {
    pub(crate) fn field(&'a self, name: &'a str) -> Place<'a> {
        Place::Field(self, name)
    }

    pub(crate) fn item(&'a self, index: usize) -> Place<'a> {
        Place::Item(self, index)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Document => Ok(()),
            Place::Field(parent, name) => {
                if !matches!(parent, Place::Document) {
                    write!(f, "{parent}.")?;
                }
                // The author's own word: kept on one line, and bounded.
                name.chars().take(64).try_for_each(|character| write!(f, "{}", character.escape_default()))
            }
            Place::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
