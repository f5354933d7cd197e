//! Reading a request's body: media type, size and time first, then JSON, then the fields, every fault at once.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::UnknownFields;
use crate::error::{Code, FieldFault, Problem};
use crate::json::{self, Json};

/// The largest body that is read.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Names the fields of a body that were ignored.
pub(crate) const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-ignored-fields");
/// The longest unknown field name that is repeated to the client.
const ECHO_MAX_CHARS: usize = 40;
/// How many ignored fields are named in the header.
const IGNORED_NAMED_MAX: usize = 20;
/// Up to this many typing errors an unknown field is taken for a misspelt known one.
const NEAR_MISS_DISTANCE: usize = 2;

/// A body that is one JSON object.
pub(crate) struct ObjectBody {
    /// As it came.
    pub(crate) bytes: Bytes,
    /// What it says.
    pub(crate) object: Vec<(String, Json)>,
}

/// Reads the whole body as one JSON object.
pub(crate) async fn read_object(request: Request) -> Result<ObjectBody, Problem> {
    check_media_type(request.headers())?;
    // A client that waits to be told to go on is told before it sends what would be thrown away.
    let declared =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > BODY_MAX_BYTES as u64) {
        return Err(Code::BodyTooLarge.into());
    }
    let reading = read_limited(request.into_body());
    let bytes = tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(|_| Code::RequestTimeout)??;
    match json::parse(&bytes).map_err(Problem::not_json)? {
        Json::Object(object) => Ok(ObjectBody { bytes, object }),
        _ => Err(Problem::not_json("The request body must be a JSON object.".to_owned())),
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let is_json = |value: &HeaderValue| {
        let essence = value.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        essence.is_empty()
            || essence == "application/json"
            || (essence.contains('/') && essence.ends_with("+json"))
    };
    let is_identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_TYPE).iter().all(is_json)
        && headers.get_all(CONTENT_ENCODING).iter().all(is_identity)
    {
        return Ok(());
    }
    Err(Code::UnsupportedMediaType.into())
}

async fn read_limited(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, BODY_MAX_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Code::BodyTooLarge.into()),
        Err(_) => Err(Problem::not_json("The request body broke off.".to_owned())),
    }
}

/// Takes an object apart field by field, and collects what is wrong with it.
pub(crate) struct Fields {
    object: Vec<(String, Json)>,
    faults: Vec<FieldFault>,
}

impl Fields {
    pub(crate) fn new(object: Vec<(String, Json)>) -> Self {
        Self { object, faults: Vec::new() }
    }

    /// A text that must be there and pass its parser.
    pub(crate) fn required_text<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.take(name) {
            None => self.fault(name, "is required"),
            Some(Json::Text(text)) => {
                parse(&text).map_or_else(|error| self.fault(name, &error.to_string()), Some)
            }
            Some(_) => self.fault(name, "must be a string"),
        }
    }

    /// A text that may be left out or null.
    pub(crate) fn optional_text<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<Option<T>, E>,
    ) -> Option<T> {
        match self.take(name) {
            None | Some(Json::Null) => None,
            Some(Json::Text(text)) => {
                parse(&text).unwrap_or_else(|error| self.fault(name, &error.to_string()))
            }
            Some(_) => self.fault(name, "must be a string or null"),
        }
    }

    /// `true` or `false`, which must be there.
    pub(crate) fn required_bool(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name) {
            None => self.fault(name, "is required"),
            Some(Json::Bool(value)) => Some(value),
            Some(_) => self.fault(name, "must be true or false"),
        }
    }

    /// A text that may be left out, but not be null.
    pub(crate) fn changed_text<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.is_given(name) { self.required_text(name, parse) } else { None }
    }

    /// `true` or `false`, which may be left out, but not be null.
    pub(crate) fn changed_bool(&mut self, name: &'static str) -> Option<bool> {
        if self.is_given(name) { self.required_bool(name) } else { None }
    }

    /// A whole number from 1 to 2^53 - 1, which must be there.
    pub(crate) fn required_version(&mut self, name: &'static str) -> Option<u64> {
        match self.take(name) {
            None => self.fault(name, "is required"),
            Some(Json::Number(Some(version @ 1..))) => Some(version),
            Some(_) => self.fault(name, "must be a whole number from 1 to 9007199254740991"),
        }
    }

    /// Whether the field is there, whatever it says.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.object.iter().any(|(key, _)| key == name)
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let index = self.object.iter().position(|(key, _)| key == name)?;
        Some(self.object.remove(index).1)
    }

    fn fault<T>(&mut self, name: &str, errors: &str) -> Option<T> {
        self.faults.push(FieldFault { name: name.to_owned(), errors: errors.to_owned() });
        None
    }

    /// What is left is unknown, or only the service's to set. `known` is every field that a connection has.
    pub(crate) fn finish(
        mut self,
        known: &[&str],
        unknown: UnknownFields,
    ) -> (Vec<FieldFault>, IgnoredFields) {
        let mut ignored = IgnoredFields::default();
        for (name, _) in std::mem::take(&mut self.object) {
            if known.contains(&name.as_str()) {
                continue;
            }
            if let Some(near) = near_miss(&name, known) {
                self.fault::<()>(&shown(&name), &format!("is not a known field; did you mean {near}?"));
            } else if unknown == UnknownFields::Refuse {
                self.fault::<()>(&shown(&name), "is not a known field");
            } else {
                ignored.0.push(shown(&name));
            }
        }
        (self.faults, ignored)
    }
}

/// The known field that a name was probably meant to be.
fn near_miss<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let folded = fold(name);
    if let Some(spelt_otherwise) = known.iter().find(|known| fold(known) == folded) {
        return Some(spelt_otherwise);
    }
    // A name much longer than any field is no typing error; comparing it would cost more than reading it.
    if name.len() > 4 * ECHO_MAX_CHARS {
        return None;
    }
    let distances = known.iter().map(|known| (strsim::levenshtein(known, name), *known));
    let (best, near) = distances.min_by_key(|(best, _)| *best)?;
    (best <= NEAR_MISS_DISTANCE).then_some(near)
}

fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// A name as it may be repeated: who knows what a client put into a key.
fn shown(name: &str) -> String {
    let is_plain = !name.is_empty()
        && name.len() <= ECHO_MAX_CHARS
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain { name.to_owned() } else { "?".to_owned() }
}

/// Names of the fields that were ignored, fit to be shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct IgnoredFields(Vec<String>);

impl IgnoredFields {
    /// Names them in the response.
    pub(crate) fn report(&self, response: &mut Response) {
        // Every name is plain ASCII, so that this is always a header's value.
        if let Some(Ok(value)) = self.in_words().as_deref().map(HeaderValue::from_str) {
            response.headers_mut().insert(IGNORED_FIELDS, value);
        }
    }

    /// Their names, for the header; `None` if there are none.
    pub(crate) fn in_words(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut names: Vec<&str> = self.0.iter().take(IGNORED_NAMED_MAX).map(String::as_str).collect();
        if self.0.len() > IGNORED_NAMED_MAX {
            names.push("...");
        }
        Some(names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["name", "clientSecret", "clientIdentifier", "accessToken"];

    #[test]
    fn a_near_miss_is_a_few_letters_or_another_spelling_away() {
        for (name, near) in [
            ("client_secret", Some("clientSecret")),
            ("CLIENT-IDENTIFIER", Some("clientIdentifier")),
            ("accesToken", Some("accessToken")),
            ("acessTokn", Some("accessToken")),
            ("accessTokens", Some("accessToken")),
            ("nmae", Some("name")),
            ("token", None),
            ("client", None),
            ("title", None),
            ("clientId", None),
        ] {
            assert_eq!(near_miss(name, &KNOWN), near, "{name}");
        }
    }

    #[test]
    fn only_plain_names_are_repeated() {
        assert_eq!(shown("folder_uri2"), "folder_uri2");
        for name in ["", "client-secret", "a b", "caf\u{e9}", "x\r\ny", &"x".repeat(41)] {
            assert_eq!(shown(name), "?", "{name:?}");
        }
    }

    #[test]
    fn many_ignored_fields_make_a_short_header() {
        let ignored = IgnoredFields((0..500).map(|n| format!("field{n}")).collect());
        let mut response = Response::default();
        ignored.report(&mut response);
        let value = response.headers()["x-ignored-fields"].to_str().unwrap();
        assert!(value.starts_with("field0, field1, ") && value.ends_with(", ..."), "{value}");
        assert!(value.len() < 300);
    }
}
