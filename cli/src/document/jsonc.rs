//! JSON and JSON with comments.
//!
//! Comments are all that the second has more: what is left without them is read by the plugin's own parser, so a
//! trailing comma is a mistake here as there. Comments become spaces, so every other byte keeps its place.

use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, ParseOptions, Scanner, ScannerOptions, parse_to_ast};

use super::position::Cursor;
use super::tree::{Content, Key, Node};

/// The document with spaces for its comments. After what is no token of JSON nothing is changed: the plugin's parser
/// stops there too.
pub(super) fn without_comments(document: &[u8]) -> Vec<u8> {
    let mut blanked = document.to_vec();
    let Ok(text) = str::from_utf8(document) else { return blanked };
    let mut scanner = Scanner::new(text, &strict());
    while let Ok(Some(token)) = scanner.scan() {
        if matches!(token, Token::CommentLine(_) | Token::CommentBlock(_))
            && let Some(comment) = blanked.get_mut(scanner.token_start()..scanner.token_end())
        {
            blank(comment);
        }
    }
    blanked
}

fn strict() -> ScannerOptions {
    ScannerOptions {
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn blank(comment: &mut [u8]) {
    for byte in comment.iter_mut().filter(|byte| !matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
}

/// Whether JSON would read all of `text` as one number.
pub(super) fn is_number(text: &str) -> bool {
    matches!(Scanner::new(text, &strict()).scan(), Ok(Some(Token::Number(number))) if number == text)
}

/// What is left of a document without its comments, without the blank lines and ends of lines that were comments.
pub(super) fn closed_up(blanked: &[u8]) -> Vec<u8> {
    // A string of JSON holds no line break, so the end of a line is never inside of one.
    let lines = blanked.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(&b'\n')
}

/// The tree of a document that the plugin's parser can read; `None` for an empty one.
pub(super) fn tree(text: &str) -> Option<Node> {
    let options = ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options).ok()?;
    Some(node(parsed.value.as_ref()?, &mut Cursor::new(text)))
}

fn node(value: &Value<'_>, cursor: &mut Cursor<'_>) -> Node {
    let at = cursor.position(value.range().start);
    let content = match value {
        Value::StringLit(string) => Content::string(&string.value),
        Value::NumberLit(number) => Content::Scalar(number.value.to_owned()),
        Value::BooleanLit(boolean) => Content::Scalar(boolean.value.to_string()),
        Value::NullKeyword(_) => Content::null(),
        Value::Array(array) => Content::Array(array.elements.iter().map(|item| node(item, cursor)).collect()),
        Value::Object(object) => {
            let fields = object.properties.iter().map(|property| {
                let name = match &property.name {
                    ObjectPropName::String(name) => name.value.clone().into_owned(),
                    ObjectPropName::Word(name) => name.value.to_owned(),
                };
                let key = Key { at: cursor.position(property.name.range().start), name };
                (key, node(&property.value, cursor))
            });
            Content::Object(fields.collect())
        }
    };
    Node { at, content }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(text: &str) -> String {
        String::from_utf8(without_comments(text.as_bytes())).unwrap()
    }

    #[test]
    fn comments_become_spaces() {
        assert_eq!(without("// a\n{/* b\n*/}//"), "    \n{    \n  }  ");
        assert_eq!(without("{\"a\": \"// no /* comment */\"} // é"), "{\"a\": \"// no /* comment */\"}      ");
        assert_eq!(without("{\"a\\\"//\": 1}"), "{\"a\\\"//\": 1}");
    }

    #[test]
    fn what_is_no_comment_stays() {
        for text in ["", "{", "{} /", "{} /* open", "'// a'", "{'a': '// b'} ", "# a // b", "{\"a // b"] {
            assert_eq!(without(text), text);
        }
        assert_eq!(without_comments(b"\xff // a"), b"\xff // a");
    }

    #[test]
    fn what_is_put_in_force_has_no_gaps() {
        let blanked = without_comments(b"// about\n{ // here\n  \"a\": [1, /* and */ 2]\r\n\n}\n");
        assert_eq!(String::from_utf8(closed_up(&blanked)).unwrap(), "{\n  \"a\": [1,           2]\n}");
    }

    #[test]
    fn a_tree_keeps_numbers_order_and_equal_keys() {
        let json = r#"{"b": 1e400, "a": [-0, 18446744073709551616], "a": {"c": null}}"#;
        assert_eq!(tree(json).unwrap().to_json(), json);
        assert_eq!(tree("// nothing"), None);
    }
}
