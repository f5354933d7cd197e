//! Reads request bodies: checks media type, size and time, then parses JSON.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::UnknownFields;
use crate::error::{Code, Problem};
use crate::fields::{Fields, Known};
use crate::json::{self, Json, Keep};

/// Limit for the size of a body.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// Limit for the time until a body has arrived.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A body that is a JSON object.
pub(crate) struct ObjectBody {
    /// The raw bytes.
    pub(crate) bytes: Bytes,
    /// The parsed fields.
    pub(crate) object: Vec<(String, Json)>,
}

/// Reads the body as a JSON object, keeping the fields that `keep` selects.
pub(crate) async fn read_object(request: Request, keep: Keep<'_>) -> Result<ObjectBody, Problem> {
    check_media_type(request.headers())?;
    let bytes = read_bytes(request).await?;
    let object = parse_object(&bytes, keep)?;
    Ok(ObjectBody { bytes, object })
}

/// Reads the body of a route whose fields are all optional: an empty one, with any media type, and `null` are an empty
/// object.
pub(crate) async fn read_optional_object(
    request: Request,
    keep: Keep<'_>,
) -> Result<Vec<(String, Json)>, Problem> {
    match read_if_any(request).await? {
        None => Ok(Vec::new()),
        Some(bytes) => match json::parse_keeping(&bytes, keep).map_err(Problem::not_json)? {
            Json::Null => Ok(Vec::new()),
            value => object_of(value),
        },
    }
}

/// Reads the body of a route without parameters: it is empty, with any media type, or an empty JSON object.
pub(crate) async fn read_empty(request: Request) -> Result<(), Problem> {
    let Some(bytes) = read_if_any(request).await? else { return Ok(()) };
    let object = parse_object(&bytes, Keep { raw: &[], known: Some(&[]) })?;
    let (errors, _) = Fields::new(object, Known::new(&[], UnknownFields::Reject)).finish();
    if errors.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(errors)) }
}

/// The bytes of a body; `None` if it is empty, with any media type.
async fn read_if_any(request: Request) -> Result<Option<Bytes>, Problem> {
    let media_type = check_media_type(request.headers());
    let bytes = read_bytes(request).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    media_type.map(|()| Some(bytes))
}

async fn read_bytes(request: Request) -> Result<Bytes, Problem> {
    // A client that sent `Expect: 100-continue` gets this response before it sends the body.
    let declared =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > BODY_MAX_BYTES as u64) {
        return Err(Code::BodyTooLarge.into());
    }
    let reading = read_limited(request.into_body());
    tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(|_| Code::RequestTimeout)?
}

fn parse_object(bytes: &[u8], keep: Keep<'_>) -> Result<Vec<(String, Json)>, Problem> {
    object_of(json::parse_keeping(bytes, keep).map_err(Problem::not_json)?)
}

fn object_of(value: Json) -> Result<Vec<(String, Json)>, Problem> {
    match value {
        Json::Object(object) => Ok(object),
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
        Err(_) => Err(Problem::not_json("The request body ended early.".to_owned())),
    }
}
