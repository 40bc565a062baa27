//! YAML 1.2, without what surprises: `on` is a string, a number is what JSON calls one, and what would make a document
//! say something elsewhere than where it stands (anchors, merge keys, tags, a second document) is refused.
//!
//! A mistake that only YAML has leaves `null` at its place, so that the other mistakes of the document are found too.

use std::borrow::Cow;

use granit_parser::{Event, Marker, Parser, ScalarStyle, options};

use super::jsonc;
use super::mistakes::Fault;
use super::place::{field_of, item_of};
use super::position::{Cursor, Position};
use super::tree::{Content, Key, Node};

/// Block and flow collections within each other, each. The parser of the JSON that is made of it allows 127 in all.
const DEPTH: usize = 60;

/// What became of a document.
#[derive(Debug, Default)]
pub(super) struct Yaml {
    /// `None` for an empty document, and for one that cannot be read to its end.
    pub(super) tree: Option<Node>,
    pub(super) faults: Vec<Fault>,
}

/// Reads a document.
pub(super) fn read(document: &[u8]) -> Yaml {
    let text = match str::from_utf8(document) {
        Ok(text) => text,
        Err(error) => {
            let valid = String::from_utf8_lossy(document.get(..error.valid_up_to()).unwrap_or_default());
            let at = Cursor::new(&valid).position(valid.len());
            return Yaml { tree: None, faults: vec![Fault::new("", at, "not valid YAML: not UTF-8 here")] };
        }
    };
    let mut builder = Builder::default();
    match builder.read(text) {
        Ok(()) => Yaml { tree: builder.root, faults: builder.faults },
        Err(fatal) => Yaml { tree: None, faults: vec![fatal] },
    }
}

/// A collection that has not ended.
enum Open {
    Array(Position, Vec<Node>),
    Object(Position, Vec<(Key, Node)>, Option<Key>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    faults: Vec<Fault>,
}

impl Builder {
    /// # Errors
    /// A mistake after which the rest has no meaning.
    fn read(&mut self, text: &str) -> Result<(), Fault> {
        let options = options! {
            disallow_directives: true,
            emit_unresolved_aliases: true,
            flow_nesting_limit: DEPTH,
            block_nesting_limit: DEPTH,
        };
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| {
                Fault::new("", position(error.marker()), &format!("not valid YAML: {}", error.info()))
            })?;
            let at = position(&span.start);
            self.refuse_properties(&event, at);
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Fault::new("", at, "a second document begins here; a policy is one document"));
                    }
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => {
                    self.refuse(
                        at,
                        "an alias is not read; put a pattern that begins with * in quotes, or write out what the alias stands for",
                    );
                    self.take(Node { at, content: Content::null() })?;
                }
                Event::Scalar(text, style, ..) => self.scalar(text, style, at)?,
                Event::SequenceStart(..) => self.begin(Open::Array(at, Vec::new()), at)?,
                Event::MappingStart(..) => self.begin(Open::Object(at, Vec::new(), None), at)?,
                Event::SequenceEnd | Event::MappingEnd => {
                    let ended = match self.open.pop() {
                        Some(Open::Array(at, items)) => Node { at, content: Content::Array(items) },
                        Some(Open::Object(at, fields, _)) => Node { at, content: Content::Object(fields) },
                        None => continue,
                    };
                    self.take(ended)?;
                }
                // Comments, and where the stream and its documents begin and end.
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses an anchor and a tag.
    fn refuse_properties(&mut self, event: &Event<'_>, at: Position) {
        if event.anchor_id().is_some() {
            self.refuse(at, "an anchor is not read; write the value out where it is meant");
        }
        if let Some(tag) = event.tag() {
            let tag = tag.original();
            self.refuse(at, &format!("the tag {tag:?} is not read; write the value without it"));
        }
    }

    fn refuse(&mut self, at: Position, message: &str) {
        self.faults.push(Fault::new(&self.place(), at, message));
    }

    /// The place of the value that comes next, or of the object whose key does.
    fn place(&self) -> String {
        self.open.iter().fold(String::new(), |place, open| match open {
            Open::Array(_, items) => item_of(&place, items.len()),
            Open::Object(_, _, Some(key)) => field_of(&place, &key.name),
            Open::Object(_, _, None) => place,
        })
    }

    /// Whether a key comes next.
    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Object(_, _, None)))
    }

    fn begin(&mut self, open: Open, at: Position) -> Result<(), Fault> {
        if self.awaits_key() {
            return Err(Fault::new(&self.place(), at, "a list or mapping cannot be the name of a field"));
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, at: Position) -> Result<(), Fault> {
        let is_plain = style == ScalarStyle::Plain;
        if self.awaits_key() {
            let is_merge = is_plain && text == "<<";
            if let Some(Open::Object(_, _, key)) = self.open.last_mut() {
                *key = Some(Key { at, name: text.into_owned() });
            }
            if is_merge {
                self.refuse(at, "a merge key is not read; write the fields out");
            }
            return Ok(());
        }
        let content = match &*text {
            "" | "~" | "null" | "Null" | "NULL" if is_plain => Content::null(),
            "true" | "True" | "TRUE" if is_plain => Content::Scalar("true".to_owned()),
            "false" | "False" | "FALSE" if is_plain => Content::Scalar("false".to_owned()),
            number if is_plain && jsonc::is_number(number) => Content::Scalar(text.into_owned()),
            number if is_plain && is_number_elsewhere(number) => {
                let message = format!(
                    "{number:?} is a number that YAML's readers do not agree on; write it in plain decimal digits, or in \
                     quotes if it is no number"
                );
                self.refuse(at, &message);
                Content::null()
            }
            text => Content::string(text),
        };
        self.take(Node { at, content })
    }

    /// Puts a value where it belongs.
    fn take(&mut self, node: Node) -> Result<(), Fault> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::Array(_, items)) => items.push(node),
            Some(Open::Object(_, fields, key)) => match key.take() {
                Some(key) => fields.push((key, node)),
                None => return Err(Fault::new(&self.place(), node.at, "an alias cannot be the name of a field")),
            },
        }
        Ok(())
    }
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

/// Whether a plain scalar that JSON does not call a number is one to YAML 1.1 or 1.2: octal, hexadecimal or binary, with
/// a sign, leading zeros or underscores, or a decimal point at either end.
fn is_number_elsewhere(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = digits.to_ascii_lowercase();
    let in_base = ["0x", "0o", "0b"].iter().find_map(|prefix| lower.strip_prefix(prefix)).is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_')
    });
    let begins = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let decimal = begins && digits.replace('_', "").parse::<f64>().is_ok();
    in_base || decimal || matches!(&*lower, ".inf" | ".nan")
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
