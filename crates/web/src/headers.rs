//! The request headers that handlers read, and how faulty ones are answered.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};
use domain::idempotency::IdempotencyKey;

use crate::error::Problem;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The last event that a client of a stream has seen.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
pub(crate) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The `ETag` of a version.
pub(crate) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// The client's name for the request, if it gave one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let fault = |errors: &str| Problem::faulty_header("Idempotency-Key", errors);
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(fault("must be given once"));
    }
    // What is not even visible ASCII is judged like any other text that is no key.
    let key = IdempotencyKey::parse(value.to_str().unwrap_or_default());
    key.map(Some).map_err(|error| fault(&error.to_string()))
}

/// Whether `If-Match`, where it is given, says the version that the body says.
pub(crate) fn check_if_match(headers: &HeaderMap, version: u64) -> Result<(), Problem> {
    if !headers.contains_key(IF_MATCH) || has_tag(headers, &IF_MATCH, version) {
        return Ok(());
    }
    let errors = "names another version than the body: leave it out, or send \"<version>\" with the quotes";
    Err(Problem::faulty_header("If-Match", errors))
}

/// Whether `If-None-Match` says that the client has this version.
pub(crate) fn has_version(headers: &HeaderMap, version: u64) -> bool {
    has_tag(headers, &IF_NONE_MATCH, version)
}

/// Whether a list of entity tags has a version's. Weak tags count: proxies that compress make tags weak, and a version
/// is a version.
fn has_tag(headers: &HeaderMap, name: &HeaderName, version: u64) -> bool {
    let ours = etag(version);
    let tags = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == ours)
}
