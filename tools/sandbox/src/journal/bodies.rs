//! Request bodies for the journal: JSON and forms, with fingerprints in place of secrets.

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::body;
use crate::state::redacted;

/// The longest body that is recorded.
const SHOWN_BYTES_MAX: usize = 64 * 1024;

// The longest name of a member that cannot be a token; tokens have 32 characters.
const NAME_LENGTH_MAX: usize = 31;

// Names, and parts of names, of secret members. A link may be presigned.
const SECRET_NAMES: [&str; 6] = ["code", "link", "authorization", "key", "state", "ticket"];
const SECRET_ENDINGS: [&str; 3] = ["_code", "_verifier", "_key"];
const SECRET_PARTS: [&str; 3] = ["password", "secret", "token"];

/// The recordable form of a body: null, unless it is an object or an array in JSON, or a form.
pub(super) fn present(headers: &HeaderMap, body: &[u8]) -> Value {
    if body.len() > SHOWN_BYTES_MAX {
        return Value::Null;
    }
    // Independent of the content type, which is often wrong: JSON parsed as a form would be one long name.
    match serde_json::from_slice(body) {
        Ok(whole @ (Value::Object(_) | Value::Array(_))) => without_secrets(whole),
        _ if is_form(headers) => present_form(body),
        _ => Value::Null,
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    // The token endpoints accept a form without a content type.
    matches!(body::media_type(headers).as_str(), "" | "application/x-www-form-urlencoded")
}

/// Whether the value of a member or parameter of this name is secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.contains(&name.as_str())
        || SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || (name != "token_type" && SECRET_PARTS.iter().any(|part| name.contains(part)))
}

fn is_name(text: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    (1..=NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_of_names)
}

fn without_secrets(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let shown = members.into_iter().map(|(name, value)| {
                let shown = if is_secret(&name) || !is_name(&name) {
                    all_hidden(value)
                } else {
                    without_secrets(value)
                };
                (shown_name(name), shown)
            });
            Value::Object(shown.collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_secrets).collect()),
        plain => plain,
    }
}

/// The value of a secret member, with all strings and numbers in it redacted.
fn all_hidden(value: Value) -> Value {
    match value {
        Value::String(text) => json!(redacted(&text)),
        Value::Number(number) => json!(redacted(&number.to_string())),
        Value::Array(values) => Value::Array(values.into_iter().map(all_hidden).collect()),
        Value::Object(members) => {
            let shown = members.into_iter().map(|(name, value)| (shown_name(name), all_hidden(value)));
            Value::Object(shown.collect())
        }
        plain @ (Value::Null | Value::Bool(_)) => plain,
    }
}

fn shown_name(name: String) -> String {
    if is_name(&name) { name } else { redacted(&name) }
}

/// A form as an object; a repeated name has an array of values.
fn present_form(body: &[u8]) -> Value {
    let mut members = Map::new();
    for (name, value) in form_urlencoded::parse(body) {
        let is_shown = is_name(&name) && !is_secret(&name);
        let value = if is_shown { json!(value) } else { json!(redacted(&value)) };
        match members.get_mut(&shown_name(name.clone().into_owned())) {
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = json!([one.take(), value]),
            None => {
                members.insert(shown_name(name.into_owned()), value);
            }
        }
    }
    if members.is_empty() { Value::Null } else { Value::Object(members) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::CONTENT_TYPE;

    use super::*;

    fn of_form(body: &str) -> Value {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        present(&headers, body.as_bytes())
    }

    #[test]
    fn secret_members_are_hidden_however_deep_they_are() {
        let body = json!({
            "name": "A film", "password": "hunter2", "upload": {"approach": "pull", "link": "http://hunter2"},
            "list": [{"Access_Token": "hunter2"}], "secrets": {"a": ["hunter2", 5, null, true]}, "size": 5,
        });
        let shown = present(&HeaderMap::new(), body.to_string().as_bytes());
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
        assert_eq!(shown["password"], "fingerprint:f52fbd32b2b3");
        assert_eq!(shown["secrets"]["a"][3], true);
        assert_eq!((&shown["name"], &shown["size"]), (&json!("A film"), &json!(5)));
        assert_eq!(shown["upload"]["approach"], "pull");
    }

    #[test]
    fn a_form_is_an_object_and_never_shows_a_name_that_is_none() {
        assert_eq!(
            of_form("grant_type=authorization_code&code=hunter2&scope=public+private&a=1&a=2&a=3"),
            json!({
                "grant_type": "authorization_code", "code": "fingerprint:f52fbd32b2b3",
                "scope": "public private", "a": ["1", "2", "3"],
            })
        );
        for broken in
            ["{\"password\": \"hunter2\",}", "hunter2hunter2hunter2hunter2hunter2", "hunter 2=hunter2"]
        {
            let shown = of_form(broken).to_string();
            assert!(!shown.contains("hunter"), "{shown}");
        }
    }

    #[test]
    fn what_is_neither_or_too_long_is_not_shown() {
        for body in ["\"hunter2\"", "5", "{", ""] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            assert_eq!(present(&headers, body.as_bytes()), Value::Null, "{body}");
        }
        let long = json!({"name": "x".repeat(SHOWN_BYTES_MAX)}).to_string();
        assert_eq!(present(&HeaderMap::new(), long.as_bytes()), Value::Null);
    }
}
