//! The parameters of an OAuth request: from a query, a form or JSON.

use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::Value;

use crate::body;

/// The longest value that is read: longer than any client's, and short enough for a header.
const VALUE_MAX_BYTES: usize = 4096;

/// Names and values, in their order.
pub(super) struct Parameters(Vec<(String, Value)>);

impl Parameters {
    /// Parses a query or a form.
    pub(super) fn of_form(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect())
    }

    /// Parses a body as its content type says; client libraries send either kind.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(super) fn of_body(headers: &HeaderMap, sent: &Bytes) -> Result<Self, String> {
        let media_type = body::media_type(headers);
        if media_type == "application/json" || media_type.ends_with("+json") {
            return match serde_json::from_slice(sent) {
                Ok(Value::Object(members)) => Ok(Self(members.into_iter().collect())),
                _ => Err("The request body is not a JSON object.".to_owned()),
            };
        }
        if media_type.is_empty() || media_type == "application/x-www-form-urlencoded" {
            return Ok(Self::of_form(sent));
        }
        Err("The content type must be application/json or application/x-www-form-urlencoded.".to_owned())
    }

    /// The value of a parameter, which may be repeated with the same value: some clients double their queries. An empty
    /// value is absent.
    ///
    /// # Errors
    /// A sentence that names the parameter.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, String> {
        let values = self.0.iter().filter(|(found, value)| found == name && !value.is_null());
        let mut taken = None;
        for (_, value) in values {
            let text = value.as_str().ok_or_else(|| format!("The {name} parameter must be a string."))?;
            if text.len() > VALUE_MAX_BYTES {
                return Err(format!("The {name} parameter is longer than {VALUE_MAX_BYTES} bytes."));
            }
            if taken.is_some_and(|taken| taken != text) {
                return Err(format!("The {name} parameter is repeated with different values."));
            }
            taken = Some(text);
        }
        Ok(taken.filter(|text| !text.is_empty()))
    }

    /// The value of a required parameter.
    ///
    /// # Errors
    /// A sentence that names the parameter.
    pub(super) fn required(&self, name: &str) -> Result<&str, String> {
        self.text(name)?.ok_or_else(|| format!("The {name} parameter is missing."))
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).filter_map(|(_, value)| value.as_str())
    }
}

/// The first value of a parameter in a query, not decoded.
pub(super) fn raw<'a>(query: &'a str, wanted: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_wanted =
            form_urlencoded::parse(name.as_bytes()).next().is_some_and(|(name, _)| name == wanted);
        is_wanted.then_some(value)
    })
}
