//! Reads a `google.protobuf.Struct` in wire format. Envoy passes one to a plugin as it is encoded, where it passes
//! other configurations as text; a policy that is written as YAML inside Envoy's own configuration arrives in this
//! form.
//!
//! Field numbers are those of `google/protobuf/struct.proto`. Anything that is not exactly that is refused.

use crate::json::Json;

/// Objects and lists within one another beyond this many are refused, as in JSON.
const MAX_DEPTH: u8 = 64;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

/// The object that `bytes` encode; `None` unless all of them are a `Struct`.
pub(crate) fn decode(bytes: &[u8]) -> Option<Json> {
    object(bytes, MAX_DEPTH)
}

fn object(mut bytes: &[u8], depth: u8) -> Option<Json> {
    let mut fields = Vec::new();
    while let Some(entry) = element(&mut bytes, 1)? {
        fields.push(field(entry, depth)?);
    }
    Some(Json::Object(fields))
}

/// One entry of the map: 1 is the key, 2 the value.
fn field(mut entry: &[u8], depth: u8) -> Option<(String, Json)> {
    let key = std::str::from_utf8(element(&mut entry, 1)??).ok()?;
    let node = value(element(&mut entry, 2)??, depth.checked_sub(1)?)?;
    entry.is_empty().then(|| (key.to_owned(), node))
}

fn list(mut bytes: &[u8], depth: u8) -> Option<Json> {
    let mut values = Vec::new();
    while let Some(element) = element(&mut bytes, 1)? {
        values.push(value(element, depth.checked_sub(1)?)?);
    }
    Some(Json::Array(values))
}

fn value(mut bytes: &[u8], depth: u8) -> Option<Json> {
    let tag = varint(&mut bytes)?;
    let node = match (tag >> 3, tag & 7) {
        (1, VARINT) => varint(&mut bytes).map(|_| Json::Null),
        (2, FIXED64) => {
            let (number, rest) = bytes.split_first_chunk()?;
            bytes = rest;
            Some(number_of(f64::from_le_bytes(*number)))
        }
        (3, LENGTH) => std::str::from_utf8(counted(&mut bytes)?).ok().map(|text| Json::Text(text.to_owned())),
        (4, VARINT) => varint(&mut bytes).map(|bit| Json::Bool(bit != 0)),
        (5, LENGTH) => object(counted(&mut bytes)?, depth),
        (6, LENGTH) => list(counted(&mut bytes)?, depth),
        _ => None,
    }?;
    bytes.is_empty().then_some(node)
}

/// A `Struct` has no integers; a number that is whole was meant as one.
fn number_of(number: f64) -> Json {
    /// Whole numbers up to here are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within range")]
        let number = number as i64;
        return u64::try_from(number).map_or(Json::Negative(number), Json::Natural);
    }
    Json::Float(number)
}

/// The next element, which must have the field number `field`: `Some(None)` at the end of `bytes`,
/// `None` where they are something else.
#[expect(clippy::option_option, reason = "the end and a mistake are two things")]
fn element<'b>(bytes: &mut &'b [u8], field: u64) -> Option<Option<&'b [u8]>> {
    if bytes.is_empty() {
        return Some(None);
    }
    if varint(bytes)? != field << 3 | LENGTH {
        return None;
    }
    counted(bytes).map(Some)
}

/// Bytes with their count before them.
fn counted<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let count = usize::try_from(varint(bytes)?).ok()?;
    let (counted, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(counted)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u8, value: &[u8]) -> Vec<u8> {
        let mut field = vec![0x0a, 1, key, 0x12, u8::try_from(value.len()).expect("short")];
        field.extend(value);
        let mut entry = vec![0x0a, u8::try_from(field.len()).expect("short")];
        entry.extend(field);
        entry
    }

    /// `{"a": "x", "n": 443, "b": true, "l": [null, 1.5], "o": {}}`.
    fn encoded() -> Vec<u8> {
        [
            entry(b'a', b"\x1a\x01x"),
            entry(b'n', b"\x11\x00\x00\x00\x00\x00\xb0\x7b\x40"),
            entry(b'b', b"\x20\x01"),
            entry(b'l', b"\x32\x0f\x0a\x02\x08\x00\x0a\x09\x11\x00\x00\x00\x00\x00\x00\xf8\x3f"),
            entry(b'o', b"\x2a\x00"),
        ]
        .concat()
    }

    #[test]
    fn reads_every_kind_of_value() {
        let expected = [
            ("a", Json::Text("x".into())),
            ("n", Json::Natural(443)),
            ("b", Json::Bool(true)),
            ("l", Json::Array(vec![Json::Null, Json::Float(1.5)])),
            ("o", Json::Object(vec![])),
        ];
        let expected = expected.map(|(name, node)| (name.to_owned(), node)).to_vec();
        assert_eq!(decode(&encoded()), Some(Json::Object(expected)));
    }

    #[test]
    fn refuses_what_is_cut_off() {
        let encoded = encoded();
        let whole = (0..encoded.len()).filter(|&end| decode(&encoded[..end]).is_some()).count();
        assert_eq!(whole, 5, "only what ends between two of the five entries is a document");
    }

    #[test]
    fn refuses_what_lies_too_deep() {
        let mut value = b"\x2a\x00".to_vec();
        for _ in 0..200 {
            let entry = {
                let mut field = b"\x0a\x01a\x12".to_vec();
                push_varint(&mut field, value.len());
                field.extend(&value);
                field
            };
            value = vec![0x0a];
            push_varint(&mut value, entry.len());
            value.extend(&entry);
            let object = value.clone();
            value = vec![0x2a];
            push_varint(&mut value, object.len());
            value.extend(object);
        }
        let mut top = b"\x0a\x01a\x12".to_vec();
        push_varint(&mut top, value.len());
        top.extend(&value);
        let mut document = vec![0x0a];
        push_varint(&mut document, top.len());
        document.extend(top);
        assert_eq!(decode(&document), None);
    }

    fn push_varint(bytes: &mut Vec<u8>, mut number: usize) {
        while number > 0x7f {
            bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).expect("seven bits"));
    }
}
