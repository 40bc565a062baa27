//! Reads the values of a policy document and remembers every mistake with its place.

use std::collections::BTreeMap;

use crate::error::{Mistake, Problem};
use crate::json::Json;
use crate::place::Place;
use crate::words::Word;

/// The fields of one object.
pub(crate) struct Fields<'n>(&'n [(String, Json)]);

impl<'n> Fields<'n> {
    pub(crate) fn get(&self, name: &str) -> Option<&'n Json> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }
}

#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) mistakes: Vec<Mistake>,
}

impl Reader {
    /// Remembers a mistake; there is no value then.
    pub(crate) fn refuse<T>(&mut self, place: &Place<'_>, problem: Problem) -> Option<T> {
        self.refuse_occurrence(place, 0, problem);
        None
    }

    /// Remembers a mistake about the key at `place` where it stands for the `occurrence`th time, from 0.
    fn refuse_occurrence(&mut self, place: &Place<'_>, occurrence: usize, problem: Problem) {
        self.mistakes.push(Mistake { place: place.to_string(), occurrence, problem });
    }

    fn wrong_type<T>(&mut self, place: &Place<'_>, value: &Json, expected: &'static str) -> Option<T> {
        self.refuse(place, Problem::WrongType { found: value.kind(), expected })
    }

    /// An object that has no fields but `accepted`, each once.
    pub(crate) fn object<'n>(
        &mut self,
        place: &Place<'_>,
        value: &'n Json,
        accepted: &'static [&'static str],
        expected: &'static str,
    ) -> Option<Fields<'n>> {
        let Json::Object(fields) = value else { return self.wrong_type(place, value, expected) };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in fields {
            let place = place.field(name);
            let count = counts.entry(name).or_default();
            let occurrence = *count;
            *count += 1;
            if !accepted.contains(&name.as_str()) {
                let suggestion = nearest(name, accepted);
                self.refuse_occurrence(&place, occurrence, Problem::UnknownField { suggestion, accepted });
            } else if occurrence > 0 {
                self.refuse_occurrence(&place, occurrence, Problem::DuplicateField);
            }
        }
        Some(Fields(fields))
    }

    pub(crate) fn array<'n>(
        &mut self,
        place: &Place<'_>,
        value: &'n Json,
        expected: &'static str,
    ) -> Option<&'n [Json]> {
        match value {
            Json::Array(values) => Some(values),
            _ => self.wrong_type(place, value, expected),
        }
    }

    /// An array that holds something.
    pub(crate) fn filled_array<'n>(
        &mut self,
        place: &Place<'_>,
        value: &'n Json,
        of: &'static str,
        expected: &'static str,
    ) -> Option<&'n [Json]> {
        match self.array(place, value, expected)? {
            [] => self.refuse(place, Problem::EmptyList { of }),
            values => Some(values),
        }
    }

    pub(crate) fn text<'n>(&mut self, place: &Place<'_>, value: &'n Json, expected: &'static str) -> Option<&'n str> {
        match value {
            Json::Text(text) => Some(text),
            _ => self.wrong_type(place, value, expected),
        }
    }

    pub(crate) fn boolean(&mut self, place: &Place<'_>, value: &Json) -> Option<bool> {
        match value {
            Json::Bool(value) => Some(*value),
            _ => self.wrong_type(place, value, "true or false"),
        }
    }

    /// A port number.
    pub(crate) fn port(&mut self, place: &Place<'_>, value: &Json) -> Option<u16> {
        let found = match value {
            Json::Natural(number) => match u16::try_from(*number) {
                Ok(port) if port > 0 => return Some(port),
                _ => number.to_string(),
            },
            Json::Negative(number) => number.to_string(),
            Json::Float(number) => shown(*number),
            _ => return self.wrong_type(place, value, "a port number from 1 to 65535"),
        };
        self.refuse(place, Problem::Port { found })
    }

    /// A setting that is one word of a few.
    pub(crate) fn word<T: Word>(&mut self, place: &Place<'_>, value: &Json) -> Option<T> {
        self.word_of(place, value, T::EXPECTED, T::WORDS).and_then(|index| T::ALL.get(index).copied())
    }

    /// The index of the word among `words`.
    pub(crate) fn word_of(
        &mut self,
        place: &Place<'_>,
        value: &Json,
        expected: &'static str,
        words: &[&'static str],
    ) -> Option<usize> {
        let text = self.text(place, value, expected)?;
        let found = words.iter().position(|word| *word == text);
        if found.is_none() {
            self.unknown_word::<()>(place, text, words);
        }
        found
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
