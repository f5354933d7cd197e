//! A strict JSON parser: duplicate keys, invalid UTF-8 and lone surrogates are errors at any depth.

mod number;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use rustc_hash::FxBuildHasher;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

pub(crate) use number::Number;

/// A JSON value.
#[derive(Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    /// Wiped on drop, because it may be a secret.
    Text(Zeroizing<String>),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// The raw text of a field that is kept as received; valid JSON and not `null`. Wiped on drop.
    Raw(Zeroizing<String>),
    /// With an empty name: the number of further unknown fields.
    Omitted(usize),
}

/// Identifies this module's error among the parser's.
const DUPLICATE_KEY: &str = "a key is given twice";

/// The parser's message for a number outside the range of a double starts with this.
const NUMBER_TOO_LARGE: &str = "number out of range";

/// Which parts of an object are kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Keep<'a> {
    /// Fields that are kept as raw text.
    pub(crate) raw: &'a [&'a str],
    /// Fields whose values are kept; `None` for all. The values of other fields are validated and dropped, and after
    /// the first [`UNKNOWN_NAMED_MAX`] their names too: a body can have thousands, and only their number matters.
    pub(crate) known: Option<&'a [&'a str]>,
}

/// How many unknown fields of an object keep their names.
pub(crate) const UNKNOWN_NAMED_MAX: usize = 64;

/// Parses a body. The error is a sentence with the position and without any content.
pub(crate) fn parse(bytes: &[u8]) -> Result<Json, String> {
    parse_keeping(bytes, Keep::default())
}

/// Parses a body and keeps the selected fields. All of it is validated equally strictly.
pub(crate) fn parse_keeping(bytes: &[u8], keep: Keep<'_>) -> Result<Json, String> {
    if bytes.is_empty() {
        return Err("The request body is empty; it must be a JSON object.".to_owned());
    }
    let Ok(body) = std::str::from_utf8(bytes) else {
        return Err("The request body is not valid JSON: it is not UTF-8.".to_owned());
    };
    let begins = |byte: u8| bytes.iter().find(|found| !found.is_ascii_whitespace()) == Some(&byte);
    if !begins(b'{') {
        return serde_json::from_str(body).map_err(|error| to_message(&error, bytes, 0));
    }
    let parts = read_parts(body).map_err(|error| to_message(&error, bytes, 0))?;
    let parsed =
        |text: &str| if text.starts_with('{') { read_inner(text, bytes) } else { read_part(text, bytes) };
    let (mut object, mut unknown) = (Vec::new(), 0);
    for (name, raw) in parts {
        let text = raw.get();
        if keep.known.is_some_and(|known| !known.contains(&&*name)) {
            if !is_simple(text) {
                parsed(text)?;
            }
            unknown += 1;
            if unknown <= UNKNOWN_NAMED_MAX {
                object.push((name.into_owned(), Json::Null));
            }
            continue;
        }
        let value = simple_value(text).map_or_else(|| parsed(text), Ok)?;
        if value != Json::Null && keep.raw.contains(&&*name) {
            object.push((name.into_owned(), Json::Raw(text.to_owned().into())));
        } else {
            object.push((name.into_owned(), value));
        }
    }
    if unknown > UNKNOWN_NAMED_MAX {
        object.push((String::new(), Json::Omitted(unknown - UNKNOWN_NAMED_MAX)));
    }
    Ok(Json::Object(object))
}

/// An object inside the top-level object. No valid one has as many fields as are kept; further ones are only counted.
fn read_inner(text: &str, body: &[u8]) -> Result<Json, String> {
    let parts = read_parts(text).map_err(|error| to_message(&error, body, offset(text, body)))?;
    let omitted = parts.len().saturating_sub(UNKNOWN_NAMED_MAX);
    let mut object = Vec::new();
    for (place, (name, raw)) in parts.into_iter().enumerate() {
        let text = raw.get();
        if place < UNKNOWN_NAMED_MAX {
            let value = match simple_value(text) {
                // Nested numbers have the precision of a double.
                Some(Json::Number(_)) | None => read_part(text, body)?,
                Some(value) => value,
            };
            object.push((name.into_owned(), value));
        } else if !is_simple(text) || may_be_too_large(text) {
            read_part(text, body)?;
        }
    }
    if omitted > 0 {
        object.push((String::new(), Json::Omitted(omitted)));
    }
    Ok(Json::Object(object))
}

/// Whether a text may be a number outside the range of a double.
fn may_be_too_large(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && (text.len() > 300 || text.contains(['e', 'E']))
}

fn read_part(text: &str, body: &[u8]) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|error| to_message(&error, body, offset(text, body)))
}

/// The offset of a part within the body.
fn offset(part: &str, body: &[u8]) -> usize {
    part.as_ptr().addr().saturating_sub(body.as_ptr().addr())
}

/// Whether [`simple_value`] returns a value for this text, which is valid JSON.
fn is_simple(text: &str) -> bool {
    match text.as_bytes() {
        [b'[' | b'{', ..] => false,
        [b'"', inside @ ..] => !inside.contains(&b'\\'),
        _ => true,
    }
}

/// The value of a simple text, which is valid JSON. Avoids parsing bodies with thousands of short fields twice.
fn simple_value(text: &str) -> Option<Json> {
    match text {
        "null" => return Some(Json::Null),
        "true" => return Some(Json::Bool(true)),
        "false" => return Some(Json::Bool(false)),
        _ => {}
    }
    if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Some(Json::Number(Number(text.to_owned())));
    }
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inside.contains('\\')).then(|| Json::Text(inside.to_owned().into()))
}

/// The error message for a part of the body that starts at `offset`.
fn to_message(error: &serde_json::Error, bytes: &[u8], offset: usize) -> String {
    // The parser's message starts with a fixed text and never contains the input there.
    let text = error.to_string();
    let what = match () {
        () if text.starts_with(DUPLICATE_KEY) => "is not valid JSON: a key is given twice",
        () if text.starts_with(NUMBER_TOO_LARGE) => "has a number that is too large",
        () => "is not valid JSON",
    };
    let before = bytes.get(..offset).unwrap_or_default();
    let line = before.split(|byte| *byte == b'\n').count() - 1 + error.line();
    let in_line = before.iter().rev().take_while(|byte| **byte != b'\n').count();
    let column = error.column() + if error.line() == 1 { in_line } else { 0 };
    format!("The request body {what} (line {line}, column {column}).")
}

/// The entries of an object with their values as text, because a double cannot represent every number exactly.
type Parts<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

fn read_parts(body: &str) -> serde_json::Result<Parts<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    // There is at most one more entry than commas.
    let commas = body.bytes().filter(|byte| *byte == b',').count();
    let parts = deserializer.deserialize_map(PartsVisitor { capacity: (commas + 1).min(CAPACITY_MAX) })?;
    deserializer.end()?;
    Ok(parts)
}

/// Limit for the initial capacity in entries.
const CAPACITY_MAX: usize = 8 * 1024;

struct PartsVisitor {
    capacity: usize,
}

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        read_entries(entries, self.capacity)
    }
}

/// A name, borrowed from the body if it contains no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

/// The entries of an object without duplicate keys.
fn read_entries<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    mut entries: A,
    capacity: usize,
) -> Result<Vec<(Cow<'de, str>, T)>, A::Error> {
    let mut object: Vec<(Cow<'de, str>, T)> = Vec::with_capacity(capacity);
    // Hashes instead of copies of the keys: only keys with equal hashes are compared. The random state of the hasher
    // prevents a client from choosing colliding keys. The set itself needs no strong hash, because its elements are
    // hashes.
    let hasher = RandomState::new();
    let mut seen = HashSet::with_capacity_and_hasher(capacity, FxBuildHasher);
    while let Some(Name(key)) = entries.next_key()? {
        if !seen.insert(hasher.hash_one(&key)) && object.iter().any(|(known, _)| *known == key) {
            return Err(A::Error::custom(DUPLICATE_KEY));
        }
        object.push((key, entries.next_value()?));
    }
    Ok(object)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(Number(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(Number(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(Number(value.to_string())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned().into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Json, A::Error> {
        let object = read_entries(entries, 0)?;
        Ok(Json::Object(object.into_iter().map(|(name, value)| (name.into_owned(), value)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_json_is_parsed() {
        let body = br#" {"a":"x\ud83d\ude00","b":[1,-2,3.5e7,{"c":null}],"d":true} "#;
        let Json::Object(object) = parse(body).unwrap() else { panic!("an object") };
        assert_eq!(object[0], ("a".to_owned(), Json::Text("x\u{1f600}".to_owned().into())));
        let number = |text: &str| Json::Number(Number(text.to_owned()));
        let nested = Json::Object(vec![("c".to_owned(), Json::Null)]);
        let array = vec![number("1"), number("-2"), number("35000000"), nested];
        assert_eq!(object[1].1, Json::Array(array));
        assert_eq!(object[2].1, Json::Bool(true));
    }

    #[test]
    fn thousands_of_unknown_fields_are_counted() {
        let names = (0..5_000).map(|number| format!("\"n{number}\":1,")).collect::<Vec<_>>().concat();
        let keep = Keep { raw: &[], known: Some(&["known", "inner"]) };
        let body = format!("{{{names}\"known\":\"x\",\"inner\":{{{names}\"last\":{{}}}}}}");
        let Json::Object(object) = parse_keeping(body.as_bytes(), keep).unwrap() else { panic!("an object") };
        assert_eq!(object.len(), UNKNOWN_NAMED_MAX + 3);
        assert_eq!(object[UNKNOWN_NAMED_MAX], ("known".to_owned(), Json::Text("x".to_owned().into())));
        let omitted = 5_000 - UNKNOWN_NAMED_MAX;
        assert_eq!(object[UNKNOWN_NAMED_MAX + 2], (String::new(), Json::Omitted(omitted)));
        let Json::Object(inner) = &object[UNKNOWN_NAMED_MAX + 1].1 else { panic!("an object") };
        assert_eq!(inner.last().unwrap(), &(String::new(), Json::Omitted(omitted + 1)));
        // Dropped values are validated equally strictly.
        for faulty in ["{\"a\":1,\"a\":2}", "[{\"a\":1,\"a\":2}]", "\"\\ud800\"", "{\"b\":{\"a\":1,\"a\":2}}"]
        {
            let body = format!("{{{names}\"last\":{faulty}}}");
            assert!(parse_keeping(body.as_bytes(), keep).is_err(), "{faulty}");
            let body = format!("{{\"inner\":{{{names}\"last\":{faulty}}}}}");
            assert!(parse_keeping(body.as_bytes(), keep).is_err(), "{faulty}");
        }
        let body = format!("{{\"inner\":{{{names}\"last\":1e999}}}}");
        assert!(parse_keeping(body.as_bytes(), keep).unwrap_err().contains("too large"));
    }

    #[test]
    fn a_whole_number_is_accepted_in_any_notation() {
        for (text, whole) in [
            ("5", Some(5)),
            ("5.0", Some(5)),
            ("5e0", Some(5)),
            ("0.5e1", Some(5)),
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("9007199254740991", Some(9_007_199_254_740_991)),
            ("9007199254740991.0", Some(9_007_199_254_740_991)),
            ("9007199254740992", None),
            ("9007199254740992.0", None),
            ("18446744073709551616", None),
            ("5.5", None),
            ("-1", None),
            ("1e300", None),
            ("1e400", None),
            ("-1e400", None),
            ("1e-400", None),
            ("1e99999999999999999999", None),
            ("0e99999999999999999999", Some(0)),
            ("3.00000000000000000001", None),
            ("9007199254740990.6", None),
            ("900719925474099.1e1", Some(9_007_199_254_740_991)),
            ("5000000e-6", Some(5)),
            ("5000000e-7", None),
            ("-5", None),
        ] {
            let body = format!("{{\"version\": {text} }}");
            let Ok(Json::Object(object)) = parse(body.as_bytes()) else { panic!("{text}") };
            let Json::Number(number) = &object[0].1 else { panic!("{text}") };
            assert_eq!(number.whole(), whole, "{text}");
        }
    }

    #[test]
    fn a_nested_number_is_accepted_too() {
        for (text, whole, thousandths) in [
            ("5", Some(5), Some(5_000)),
            ("5.0", Some(5), Some(5_000)),
            ("3e11", Some(300_000_000_000), Some(300_000_000_000_000)),
            ("1.2345", None, Some(1_234)),
            ("0.0005001", None, Some(1)),
            ("18446744073709551615", None, None),
            ("-1", None, None),
            ("1e300", None, None),
        ] {
            let body = format!("{{\"a\": [{text}] }}");
            let Ok(Json::Object(object)) = parse(body.as_bytes()) else { panic!("{text}") };
            let Json::Array(array) = &object[0].1 else { panic!("{text}") };
            let Json::Number(number) = &array[0] else { panic!("{text}") };
            assert_eq!((number.whole(), number.thousandths()), (whole, thousandths), "{text}");
        }
    }

    #[test]
    fn a_raw_field_is_kept_unchanged_and_validated_as_strictly() {
        let keep = |body: &str| parse_keeping(body.as_bytes(), Keep { raw: &["raw"], known: None });
        for text in ["{ \"b\" : [1.50, \"\\u00e9\"] }", "1e400", "\"x\"", "true", "[]"] {
            let Ok(Json::Object(object)) = keep(&format!("{{\"raw\": {text} }}")) else { panic!("{text}") };
            assert_eq!(object[0].1, Json::Raw(text.to_owned().into()));
        }
        assert_eq!(keep("{\"raw\":null}"), Ok(Json::Object(vec![("raw".to_owned(), Json::Null)])));
        for bad in ["{\"a\":1,\"a\":2}", "[{\"a\":{\"b\":1,\"b\":1}}]", "\"\\ud800\"", "[1e999]"] {
            assert!(keep(&format!("{{\"raw\":{bad}}}")).is_err(), "{bad}");
        }
        assert!(keep("{\"raw\":1,\"raw\":2}").is_err());
    }

    #[test]
    fn an_error_has_its_position_at_any_depth() {
        for (body, place) in [
            ("{\"a\":1,\n \"b\":[1,\n {\"c\":2,\"c\":3}]}", "line 3, column 11"),
            ("{\"a\":1, \"b\":\"\\ud800\"}", "line 1, column 20"),
            ("{\"a\":1, \"a\":2}", "line 1, column 11"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(error.ends_with(&format!("({place}).")), "{body}: {error}");
        }
    }

    #[test]
    fn invalid_json_is_rejected_without_being_shown() {
        let deep = "[".repeat(4_000);
        for body in [
            &b""[..],
            b"x",
            b"{",
            b"{}x",
            b"{\"canary\":1,\"canary\":2}",
            b"{\"x\":[{\"canary\":1,\"canary\":1}]}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":\"\\udc00x\"}",
            b"{\"\\ud800\":1}",
            b"{\"a\":\"\xff\"}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"canary\n\"}",
            b"{a:1}",
            b"{\"a\":NaN}",
            b"{\"a\":01}",
            b"{\"a\":1,}",
            b"'canary'",
            deep.as_bytes(),
            b"{\"x\":{\"y\":\"\\ud800\"}}",
        ] {
            let error = parse(body).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
            assert!(error.starts_with("The request body is"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_causes_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
