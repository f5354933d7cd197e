//! tus 1.0.0, the core protocol without extensions, on the links that uploads have. The texts of the refusals are
//! those of tusd, the protocol's reference server, which Vimeo's resembles.

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

use super::bytes::{Closed, From, Gone, Inlet};
use super::{Promise, disk_trouble, find_live, not_found, text};
use crate::ask::Refusal;
use crate::body;
use crate::desk::Desk;
use crate::state::{Approach, VersionId, VideoId};

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");

const METHODS: &str = "HEAD, PATCH, OPTIONS";

// After so many bytes of one request the state file is written, lest a long one be lost whole.
const SAVE_EVERY_BYTES: u64 = 16 * 1024 * 1024;

/// Any request to a link. Its sender needs no token.
pub(crate) async fn serve(
    State(desk): State<Arc<Desk>>,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (parts, mut sent) = request.into_parts();
    let key = key.map(|Path(key)| key).unwrap_or_default();
    let method = method_meant(parts.method, &parts.headers);
    let mut response = match method {
        Method::OPTIONS => capabilities(),
        // A browser that visits the link knows nothing of versions.
        Method::GET => not_allowed(),
        _ if parts.headers.get(&TUS_RESUMABLE) != Some(&VERSION) => unsupported_version(),
        Method::HEAD => tell_offset(&desk, &key),
        Method::PATCH => match append(&desk, &key, &parts.headers, &mut sent).await {
            Ok(offset) => taken_up_to(offset),
            Err(refusal) => refusal.into_response(),
        },
        _ => not_allowed(),
    };
    if !waits_for_leave(&parts.headers, &sent) {
        body::drain(&mut sent).await;
    }
    let headers = response.headers_mut();
    headers.insert(TUS_RESUMABLE, VERSION);
    add_cors(headers);
    response
}

/// The method, which a client behind an old proxy may have to put into a header.
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
        // Authorization is not among them, nor is Accept: whoever sends those from a browser is stopped by it.
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

fn tell_offset(desk: &Desk, key: &str) -> Response {
    let (video, version) = match find(desk, key) {
        Ok(found) => found,
        Err(refusal) => return refusal.into_response(),
    };
    let told = {
        let world = desk.world();
        world.version(video, version).map(|version| (version.upload.received.bytes, version.upload.size))
    };
    let Some((offset, size)) = told else { return gone().into_response() };
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    match size {
        Some(size) => headers.insert(UPLOAD_LENGTH, HeaderValue::from(size)),
        None => headers.insert("upload-defer-length", HeaderValue::from_static("1")),
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Promise);
    response
}

/// Takes bytes on, and says how many are here then. What arrives of a body that breaks off is kept.
async fn append(desk: &Desk, key: &str, headers: &HeaderMap, sent: &mut Body) -> Result<u64, Refusal> {
    let asked = asked_offset(headers)?;
    let found = find(desk, key)?;
    let mut inlet = Inlet::open(desk, found, key, From::Offset).map_err(|closed| match closed {
        Closed::Gone | Closed::Over => not_found(StatusCode::NOT_FOUND),
        Closed::Busy => text(StatusCode::LOCKED, "file currently locked"),
        Closed::Disk => disk_trouble(),
    })?;
    if asked != inlet.received.bytes {
        return Err(text(StatusCode::CONFLICT, "mismatched offset").into());
    }
    if announced_length(headers).is_some_and(|length| length > inlet.room()) {
        return Err(too_much().into());
    }
    let (end, mut unsaved) = (inlet.gone(), 0);
    loop {
        let frame = tokio::select! {
            biased;
            () = end.cancelled() => return Err(gone()),
            frame = sent.frame() => frame,
        };
        let data = match frame {
            None => break,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return Err(text(StatusCode::BAD_REQUEST, "the body was cut short").into()),
        };
        let fitting = usize::try_from(inlet.room()).map_or(data.len(), |room| room.min(data.len()));
        let (fitting, beyond) = data.split_at(fitting);
        inlet.take(fitting).map_err(|_| disk_trouble())?;
        book(&inlet)?;
        if !beyond.is_empty() {
            return Err(too_much().into());
        }
        unsaved += fitting.len() as u64;
        if unsaved >= SAVE_EVERY_BYTES {
            desk.save().await;
            unsaved = 0;
        }
    }
    // Also for a request without a byte, which may be the only one that an empty file gets.
    book(&inlet)?;
    Ok(inlet.received.bytes)
}

fn book(inlet: &Inlet<'_>) -> Result<(), Refusal> {
    inlet.book_arrival().map_err(|Gone| gone())
}

/// The offset at which the client wants to go on, in a request that is otherwise as it should be.
fn asked_offset(headers: &HeaderMap) -> Result<u64, Refusal> {
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

/// Whether the client sends its body only once it is told to go on, which it was not.
fn waits_for_leave(headers: &HeaderMap, sent: &Body) -> bool {
    let length = announced_length(headers).filter(|length| *length > 0);
    headers.contains_key(EXPECT) && length.is_some() && sent.size_hint().exact() == length
}

/// The upload that a link leads to, as long as it does.
fn find(desk: &Desk, key: &str) -> Result<(VideoId, VersionId), Refusal> {
    let now = desk.now();
    let world = desk.world();
    let (video, version, upload) = find_live(&world, key, now)?;
    if upload.approach == Approach::Tus { Ok((video, version)) } else { Err(gone()) }
}

fn taken_up_to(offset: u64) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    response.extensions_mut().insert(Promise);
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

fn gone() -> Refusal {
    not_found(StatusCode::NOT_FOUND).into()
}

fn too_much() -> Response {
    text(StatusCode::PAYLOAD_TOO_LARGE, "resource's size exceeded")
}
