//! A policy as its author wrote it, in whatever format: every value and key with its position, equal keys kept apart.
//!
//! It never judges a policy: what is wrong with one, the plugin's parser says of the JSON that is made of it.

use super::position::Position;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) at: Position,
    pub(super) content: Content,
}

/// What a value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A string, a number, `true`, `false` or `null`, as JSON text.
    Scalar(String),
    Array(Vec<Node>),
    Object(Vec<(Key, Node)>),
}

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) at: Position,
    pub(super) name: String,
}

impl Content {
    pub(super) fn null() -> Content {
        Content::Scalar("null".to_owned())
    }

    pub(super) fn string(text: &str) -> Content {
        Content::Scalar(quoted(text))
    }
}

impl Node {
    /// The JSON text of it, in the order of the file.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::new();
        self.write(&mut json);
        json
    }

    fn write(&self, json: &mut String) {
        match &self.content {
            Content::Scalar(text) => json.push_str(text),
            Content::Array(items) => {
                json.push('[');
                for (index, item) in items.iter().enumerate() {
                    json.push_str(if index == 0 { "" } else { ", " });
                    item.write(json);
                }
                json.push(']');
            }
            Content::Object(fields) => {
                json.push('{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    json.push_str(if index == 0 { "" } else { ", " });
                    json.push_str(&quoted(&key.name));
                    json.push_str(": ");
                    value.write(json);
                }
                json.push('}');
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
