//! Reads the values of a policy document and remembers every mistake with its place.

use std::fmt;

use crate::document::Node;
use crate::error::{Mistake, Problem};

/// Where a value stands: steps from the document down, linked without allocating.
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

/// The fields of one object.
pub(crate) struct Fields<'n>(&'n [(String, Node)]);

impl<'n> Fields<'n> {
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, node)| node)
    }
}

#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) mistakes: Vec<Mistake>,
}

impl Reader {
    /// Remembers a mistake; there is no value then.
    pub(crate) fn refuse<T>(&mut self, place: &Place<'_>, problem: Problem) -> Option<T> {
        self.mistakes.push(Mistake { place: place.to_string(), problem });
        None
    }

    fn wrong_type<T>(&mut self, place: &Place<'_>, node: &Node, expected: &'static str) -> Option<T> {
        self.refuse(place, Problem::WrongType { found: node.kind(), expected })
    }

    /// An object that has no fields but `accepted`, each once.
    pub(crate) fn object<'n>(
        &mut self,
        place: &Place<'_>,
        node: &'n Node,
        accepted: &'static [&'static str],
        expected: &'static str,
    ) -> Option<Fields<'n>> {
        let Node::Object(fields) = node else { return self.wrong_type(place, node, expected) };
        for (index, (name, _)) in fields.iter().enumerate() {
            let place = place.field(name);
            if !accepted.contains(&name.as_str()) {
                let suggestion = nearest(name, accepted);
                self.refuse::<()>(&place, Problem::UnknownField { suggestion, accepted });
            } else if fields.iter().take(index).any(|(earlier, _)| earlier == name) {
                self.refuse::<()>(&place, Problem::DuplicateField);
            }
        }
        Some(Fields(fields))
    }

    pub(crate) fn array<'n>(
        &mut self,
        place: &Place<'_>,
        node: &'n Node,
        expected: &'static str,
    ) -> Option<&'n [Node]> {
        match node {
            Node::Array(values) => Some(values),
            _ => self.wrong_type(place, node, expected),
        }
    }

    /// An array that holds something.
    pub(crate) fn filled_array<'n>(
        &mut self,
        place: &Place<'_>,
        node: &'n Node,
        of: &'static str,
        expected: &'static str,
    ) -> Option<&'n [Node]> {
        match self.array(place, node, expected)? {
            [] => self.refuse(place, Problem::EmptyList { of }),
            values => Some(values),
        }
    }

    pub(crate) fn text<'n>(&mut self, place: &Place<'_>, node: &'n Node, expected: &'static str) -> Option<&'n str> {
        match node {
            Node::Text(text) => Some(text),
            _ => self.wrong_type(place, node, expected),
        }
    }

    pub(crate) fn boolean(&mut self, place: &Place<'_>, node: &Node) -> Option<bool> {
        match node {
            Node::Bool(value) => Some(*value),
            _ => self.wrong_type(place, node, "true or false"),
        }
    }

    /// A port number.
    pub(crate) fn port(&mut self, place: &Place<'_>, node: &Node) -> Option<u16> {
        let found = match node {
            Node::Natural(number) => match u16::try_from(*number) {
                Ok(port) if port > 0 => return Some(port),
                _ => number.to_string(),
            },
            Node::Negative(number) => number.to_string(),
            Node::Float(number) => shown(*number),
            _ => return self.wrong_type(place, node, "a port number from 1 to 65535"),
        };
        self.refuse(place, Problem::Port { found })
    }

    /// One of a few words, each with what it means.
    pub(crate) fn word<T: Copy>(
        &mut self,
        place: &Place<'_>,
        node: &Node,
        expected: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(place, node, expected)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let accepted: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.unknown_word(place, text, &accepted)
    }

    /// A word that is none of `accepted`.
    pub(crate) fn unknown_word<T>(&mut self, place: &Place<'_>, found: &str, accepted: &[&str]) -> Option<T> {
        let suggestion = nearest(found, accepted).map(str::to_owned);
        let accepted = accepted.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        self.refuse(place, Problem::UnknownWord { found: found.to_owned(), suggestion, accepted })
    }
}

/// The word that was meant by `found`, if one is close: the same but for case, `-` and `_`, or at
/// most two slips away, and never more than a third of the word.
pub(crate) fn nearest<'w>(found: &str, words: &[&'w str]) -> Option<&'w str> {
    if found.len() > 64 {
        return None;
    }
    let plain = |word: &str| word.to_ascii_lowercase().replace(['_', ' '], "-");
    let found = plain(found);
    words
        .iter()
        .map(|word| (strsim::osa_distance(&found, &plain(word)), *word))
        .filter(|(slips, word)| *slips <= 2 && *slips * 3 <= word.len().max(3))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// A number as a message shows it, to three places. The standard library's way would bring 20 KB of
/// tables and code into the plugin.
fn shown(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a number out of range shows as the nearest in it")]
    let thousandths = (number * 1000.0).round() as i64;
    let (sign, digits) = (if thousandths < 0 { "-" } else { "" }, thousandths.unsigned_abs());
    let text = format!("{sign}{}.{:03}", digits / 1000, digits % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
