//! tus 1.0.0, the core protocol without extensions, at upload links. Error texts are those of tusd, the reference
//! server of the protocol, which Vimeo's resembles.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL, CONTENT_LENGTH,
    CONTENT_TYPE, EXPECT,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;

use super::bytes::{OpenError, StartAt, UploadWriter, VersionDeleted};
use super::{DurableAck, disk_error, find_live, not_found, text};
use crate::api_request::ErrorResponse;
use crate::app_state::AppState;
use crate::body;
use crate::state::{Approach, VersionId, VideoId};

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");

const METHODS: &str = "HEAD, PATCH, OPTIONS";

// The state file is written after this many bytes of one request, so that a long one is not lost completely.
const SAVE_EVERY_BYTES: u64 = 16 * 1024 * 1024;

/// Handles any request to an upload link, which needs no token.
pub(crate) async fn serve(
    State(app_state): State<Arc<AppState>>,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, mut sent) = request.into_parts();
    let key = key.map(|Path(key)| key).unwrap_or_default();
    let method = method_meant(parts.method, &parts.headers);
    let mut response = match method {
        Method::OPTIONS => capabilities(),
        // A browser that opens the link sends no version.
        Method::GET => not_allowed(),
        _ if parts.headers.get(&TUS_RESUMABLE) != Some(&VERSION) => unsupported_version(),
        Method::HEAD => report_offset(&app_state, &key),
        Method::PATCH => match append(&app_state, &key, &parts.headers, &mut sent).await {
            Ok(offset) => received_up_to(offset),
            Err(refusal) => refusal.into_response(),
        },
        _ => not_allowed(),
    };
    if !waits_for_continue(&parts.headers, &sent) {
        body::drain(&mut sent).await;
    }
    let headers = response.headers_mut();
    headers.insert(TUS_RESUMABLE, VERSION);
    add_cors(headers);
    response
}

/// The method, which clients behind old proxies send in a header.
fn method_meant(method: Method, headers: &HeaderMap) -> Method {
    let instead = headers.get("x-http-method-override");
    instead.and_then(|name| Method::from_bytes(name.as_bytes()).ok()).unwrap_or(method)
}

fn capabilities() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(TUS_VERSION, VERSION);
    headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    for (name, value) in [
        ("access-control-allow-methods", METHODS),
        // Without Authorization and Accept: browsers block requests that carry them.
        ("access-control-allow-headers", "Content-Type, Upload-Offset, Tus-Resumable"),
        ("access-control-max-age", "86400"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn add_cors(headers: &mut HeaderMap) {
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Upload-Offset, Upload-Length, Tus-Resumable, Tus-Version, Location"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn report_offset(app_state: &AppState, key: &str) -> Response {
    let (video, version) = match find(app_state, key) {
        Ok(found) => found,
        Err(refusal) => return refusal.into_response(),
    };
    let recorded = {
        let vimeo_state = app_state.vimeo();
        vimeo_state
            .version(video, version)
            .map(|version| (version.upload.received.bytes, version.upload.size))
    };
    let Some((offset, size)) = recorded else { return deleted().into_response() };
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    match size {
        Some(size) => headers.insert(UPLOAD_LENGTH, HeaderValue::from(size)),
        None => headers.insert("upload-defer-length", HeaderValue::from_static("1")),
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(DurableAck);
    response
}

/// Appends bytes. Returns the new offset. What arrives of an interrupted body is kept.
async fn append(
    app_state: &AppState,
    key: &str,
    headers: &HeaderMap,
    sent: &mut Body,
) -> Result<u64, ErrorResponse> {
    let asked = asked_offset(headers)?;
    let found = find(app_state, key)?;
    let mut writer =
        UploadWriter::open(app_state, found, key, StartAt::Offset).map_err(|closed| match closed {
            OpenError::Deleted | OpenError::Ended => not_found(StatusCode::NOT_FOUND),
            OpenError::Busy => text(StatusCode::LOCKED, "file currently locked"),
            OpenError::Disk => disk_error(),
        })?;
    if asked != writer.received.bytes {
        return Err(text(StatusCode::CONFLICT, "mismatched offset").into());
    }
    if announced_length(headers).is_some_and(|length| length > writer.remaining()) {
        return Err(too_much().into());
    }
    let (end, mut unsaved) = (writer.deleted(), 0);
    loop {
        let frame = tokio::select! {
            biased;
            () = end.cancelled() => return Err(deleted()),
            frame = sent.frame() => frame,
        };
        let data = match frame {
            None => break,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return Err(text(StatusCode::BAD_REQUEST, "the body was cut short").into()),
        };
        let fitting =
            usize::try_from(writer.remaining()).map_or(data.len(), |remaining| remaining.min(data.len()));
        let (fitting, beyond) = data.split_at(fitting);
        writer.write(fitting).map_err(|_| disk_error())?;
        record(&writer)?;
        if !beyond.is_empty() {
            return Err(too_much().into());
        }
        unsaved += fitting.len() as u64;
        if unsaved >= SAVE_EVERY_BYTES {
            app_state.save().await;
            unsaved = 0;
        }
    }
    // Also for a request without bytes, which may be the only one for an empty file.
    record(&writer)?;
    Ok(writer.received.bytes)
}

fn record(writer: &UploadWriter<'_>) -> Result<(), ErrorResponse> {
    writer.record_received().map_err(|VersionDeleted| deleted())
}

/// The offset in the request, whose other headers must be valid.
fn asked_offset(headers: &HeaderMap) -> Result<u64, ErrorResponse> {
    if headers.get(CONTENT_TYPE).is_none_or(|found| found != "application/offset+octet-stream") {
        let refusal = "missing or invalid Content-Type header";
        return Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal).into());
    }
    let offset = headers.get(&UPLOAD_OFFSET).and_then(|value| value.to_str().ok());
    let offset = offset.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    offset.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let refusal = "missing or invalid Upload-Offset header";
        text(StatusCode::BAD_REQUEST, refusal).into()
    })
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the client waits for 100 Continue, which was not sent.
fn waits_for_continue(headers: &HeaderMap, sent: &Body) -> bool {
    let length = announced_length(headers).filter(|length| *length > 0);
    headers.contains_key(EXPECT) && length.is_some() && sent.size_hint().exact() == length
}

/// The tus upload of a link that has not expired.
fn find(app_state: &AppState, key: &str) -> Result<(VideoId, VersionId), ErrorResponse> {
    let now = app_state.now();
    let vimeo_state = app_state.vimeo();
    let (video, version, upload) = find_live(&vimeo_state, key, now)?;
    if upload.approach == Approach::Tus { Ok((video, version)) } else { Err(deleted()) }
}

fn received_up_to(offset: u64) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    response.extensions_mut().insert(DurableAck);
    response
}

fn unsupported_version() -> Response {
    let mut response = text(StatusCode::PRECONDITION_FAILED, "unsupported version");
    response.headers_mut().insert(TUS_VERSION, VERSION);
    response
}

fn not_allowed() -> Response {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
    response
}

fn deleted() -> ErrorResponse {
    not_found(StatusCode::NOT_FOUND).into()
}

fn too_much() -> Response {
    text(StatusCode::PAYLOAD_TOO_LARGE, "resource's size exceeded")
}
