//! Members of an API request's body, with the error responses of invalid ones.

use serde_json::{Map, Value};

use crate::api_request::{ErrorResponse, invalid_field};

/// A string; `null` counts as absent.
pub(crate) fn text(members: &Map<String, Value>, name: &str) -> Result<Option<String>, ErrorResponse> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid_field(name, 2204, "must be a string")),
    }
}

/// A string that has to be present, and not blank.
pub(crate) fn required_text(members: &Map<String, Value>, name: &str) -> Result<String, ErrorResponse> {
    match text(members, name)? {
        None => Err(invalid_field(name, 2204, "is missing")),
        Some(text) if text.trim().is_empty() => Err(invalid_field(name, 2204, "must not be empty")),
        Some(text) => Ok(text),
    }
}

/// A boolean; `null` counts as absent.
pub(crate) fn boolean(members: &Map<String, Value>, name: &str) -> Result<Option<bool>, ErrorResponse> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(boolean)) => Ok(Some(*boolean)),
        // One official client sends strings.
        Some(Value::String(text)) if text == "true" => Ok(Some(true)),
        Some(Value::String(text)) if text == "false" => Ok(Some(false)),
        Some(_) => Err(invalid_field(name, 2204, "must be true or false")),
    }
}
