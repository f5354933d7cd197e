//! Strict JSON: a key given twice, invalid UTF-8 and lone surrogates are not JSON, at any depth.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// A JSON value, as far as bodies need to be told apart.
#[derive(Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number,
    /// Wiped when dropped: it may be a secret.
    Text(Zeroizing<String>),
    Array,
    Object(Vec<(String, Json)>),
}

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

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
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
