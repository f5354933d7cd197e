//! Strict JSON: a key given twice, invalid UTF-8 and lone surrogates are not JSON, at any depth.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// A JSON value, as far as bodies need to be told apart.
#[derive(Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// With its value if that is a whole number from 0 to 2^53 - 1, however it is written: `5.0` is 5.
    Number(Option<u64>),
    /// Wiped when dropped: it may be a secret.
    Text(Zeroizing<String>),
    Array,
    Object(Vec<(String, Json)>),
}

/// The highest whole number that is read: 2^53 - 1, which every JSON reader keeps exactly.
const WHOLE_MAX: u64 = domain::connection::VERSION_MAX;

/// The marker by which the one error of ours is known among the parser's.
const DUPLICATE_KEY: &str = "a key is given twice";

/// How the parser's text begins for a number that no double can hold.
const NUMBER_TOO_LARGE: &str = "number out of range";

/// Reads a body. The error is a sentence that says where, and nothing of what stood there.
pub(crate) fn parse(bytes: &[u8]) -> Result<Json, String> {
    if bytes.is_empty() {
        return Err("The request body is empty; it must be a JSON object.".to_owned());
    }
    if std::str::from_utf8(bytes).is_err() {
        return Err("The request body is not valid JSON: it is not UTF-8.".to_owned());
    }
    serde_json::from_slice(bytes).map_err(|error| {
        // The parser's text begins with its own words, and what it was given never stands there.
        let text = error.to_string();
        let what = match () {
            () if text.starts_with(DUPLICATE_KEY) => "is not valid JSON: a key is given twice",
            () if text.starts_with(NUMBER_TOO_LARGE) => "has a number that is too large",
            () => "is not valid JSON",
        };
        format!("The request body {what} (line {}, column {}).", error.line(), error.column())
    })
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
        Ok(Json::Number(u64::try_from(value).ok().filter(|whole| *whole <= WHOLE_MAX)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(Some(value).filter(|whole| *whole <= WHOLE_MAX)))
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number within the range is kept exactly"
    )]
    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        let is_whole = value.fract() == 0.0 && (0.0..=WHOLE_MAX as f64).contains(&value);
        Ok(Json::Number(is_whole.then_some(value as u64)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned().into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        while items.next_element::<Json>()?.is_some() {}
        Ok(Json::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(DUPLICATE_KEY));
            }
            object.push((key, entries.next_value()?));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_is_read() {
        let body = br#" {"a":"x\ud83d\ude00","b":[1,-2,3.5e7,{"c":null}],"d":true} "#;
        let Json::Object(object) = parse(body).unwrap() else { panic!("an object") };
        assert_eq!(object[0], ("a".to_owned(), Json::Text("x\u{1f600}".to_owned().into())));
        assert_eq!(object[1].1, Json::Array);
        assert_eq!(object[2].1, Json::Bool(true));
    }

    #[test]
    fn a_whole_number_is_read_however_it_is_written() {
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
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(Json::Number(whole)), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_without_being_shown() {
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
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
