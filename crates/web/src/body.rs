//! Reading a request's body: media type, size and time first, then JSON.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::error::{Code, Problem};
use crate::json::{self, Json};

/// The largest body that is read.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A body that is one JSON object.
pub(crate) struct ObjectBody {
    /// As it came.
    pub(crate) bytes: Bytes,
    /// What it says.
    pub(crate) object: Vec<(String, Json)>,
}

/// Reads the whole body as one JSON object.
pub(crate) async fn read_object(request: Request) -> Result<ObjectBody, Problem> {
    read_object_keeping(request, &[]).await
}

/// Reads the whole body as one JSON object, and keeps the fields of these names as they came.
pub(crate) async fn read_object_keeping(
    request: Request,
    raw_fields: &[&str],
) -> Result<ObjectBody, Problem> {
    check_media_type(request.headers())?;
    // A client that waits to be told to go on is told before it sends what would be thrown away.
    let declared =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > BODY_MAX_BYTES as u64) {
        return Err(Code::BodyTooLarge.into());
    }
    let reading = read_limited(request.into_body());
    let bytes = tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(|_| Code::RequestTimeout)??;
    match json::parse_keeping(&bytes, raw_fields).map_err(Problem::not_json)? {
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
