//! Reads request headers and reports invalid ones.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};
use domain::idempotency::IdempotencyKey;

use crate::error::Problem;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The last event that a client of an event stream has received.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
pub(crate) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The `ETag` of a version.
pub(crate) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// The `Idempotency-Key`, if given.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let invalid = |errors: &str| Problem::invalid_header("Idempotency-Key", errors);
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid("must be given once"));
    }
    // Values that are not visible ASCII are rejected by the parser.
    let key = IdempotencyKey::parse(value.to_str().unwrap_or_default());
    key.map(Some).map_err(|error| invalid(&error.to_string()))
}

/// Checks that `If-Match`, if given, contains the version in the body.
pub(crate) fn check_if_match(headers: &HeaderMap, version: u64) -> Result<(), Problem> {
    if !headers.contains_key(IF_MATCH) || has_tag(headers, &IF_MATCH, version) {
        return Ok(());
    }
    let errors = "names another version than the body: leave it out, or send \"<version>\" with the quotes";
    Err(Problem::invalid_header("If-Match", errors))
}

/// Whether `If-None-Match` contains this version.
pub(crate) fn has_version(headers: &HeaderMap, version: u64) -> bool {
    has_tag(headers, &IF_NONE_MATCH, version)
}

/// Whether a list of entity tags contains a version. Weak tags count, because compressing proxies make tags weak.
fn has_tag(headers: &HeaderMap, name: &HeaderName, version: u64) -> bool {
    let ours = etag(version);
    let tags = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == ours)
}
