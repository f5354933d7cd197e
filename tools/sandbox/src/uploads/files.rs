//! Files other than videos: text tracks and images, each sent by one PUT to a link. A file can be sent again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{DurableAck, formats, not_found, text};
use crate::api_request::ErrorResponse;
use crate::app_state::AppState;
use crate::body;
use crate::state::{FileLink, LinkTarget, StoredFile, TextTrack, VideoId, fingerprint};

pub(crate) const TEXT_TRACK_ROUTE: &str = "/files/texttracks/{key}";
pub(crate) const PICTURE_ROUTE: &str = "/files/pictures/{key}";
/// From which the file of a text track is read.
pub(crate) const READ_ROUTE: &str = "/files/captions/{key}";

/// The largest file. Vimeo's own limits are not known.
const FILE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// The link to which a file is sent. No token is needed to use it.
pub(crate) fn link(app_state: &AppState, route: &str, link: &FileLink) -> String {
    format!("{}{}", app_state.base_url, route.replace("{key}", &link.key))
}

/// The link from which the file of a text track is read. It does not reveal the link to which it was sent.
pub(crate) fn read_link(app_state: &AppState, video: VideoId, track: &TextTrack) -> String {
    format!("{}{}", app_state.base_url, READ_ROUTE.replace("{key}", &read_key(video, track)))
}

fn read_key(video: VideoId, track: &TextTrack) -> String {
    format!("{}-{}-{}", video.number(), track.number, fingerprint(track.link.key.as_bytes()))
}

/// What a link accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepts {
    TextTrack,
    Image,
}

/// Receives the file of a text track.
pub(crate) async fn serve_text_track(
    State(app_state): State<Arc<AppState>>,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    serve(&app_state, Accepts::TextTrack, key, request).await
}

/// Receives an image.
pub(crate) async fn serve_image(
    State(app_state): State<Arc<AppState>>,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    serve(&app_state, Accepts::Image, key, request).await
}

async fn serve(
    app_state: &AppState,
    accepts: Accepts,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let key = key.map(|Path(key)| key).unwrap_or_default();
    let is_put = request.method() == Method::PUT;
    // Read completely before any response, so that the client's connection stays usable.
    let read = body::read_at_most(request.into_body(), FILE_BYTES_MAX).await;
    if !is_put {
        return method_not_allowed("PUT");
    }
    let Ok(bytes) = read else {
        let sentence = "the file is longer than 10 MiB, or it was cut short";
        return text(StatusCode::PAYLOAD_TOO_LARGE, sentence);
    };
    match store(app_state, accepts, &key, &bytes) {
        Ok(()) => {
            let mut response = StatusCode::OK.into_response();
            response.extensions_mut().insert(DurableAck);
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Stores a file in place of an earlier one.
fn store(app_state: &AppState, accepts: Accepts, key: &str, bytes: &[u8]) -> Result<(), ErrorResponse> {
    let now = app_state.now();
    let missing = || not_found(StatusCode::NOT_FOUND);
    let mut vimeo_state = app_state.vimeo();
    let (id, target) = vimeo_state.find_link(key).ok_or_else(missing)?;
    let stored = vimeo_state.edit_video(id, |video| match (accepts, target) {
        (Accepts::TextTrack, LinkTarget::TextTrack(number)) => {
            let track = video.text_tracks.iter_mut().find(|track| track.number == number);
            let track = track.ok_or_else(missing)?;
            check_live(&track.link)?;
            let format = formats::of_text_track(bytes).ok_or_else(|| {
                text(StatusCode::BAD_REQUEST, "the file is neither WebVTT nor SubRip, SBV or TTML")
            })?;
            let file = StoredFile::of(bytes, format, now);
            track.file = Some(StoredFile { content: STANDARD.encode(bytes), ..file });
            Ok(())
        }
        (Accepts::Image, LinkTarget::Picture(number)) => {
            let picture = video.pictures.iter_mut().find(|picture| picture.number == number);
            let image = picture.and_then(|picture| picture.image.as_mut()).ok_or_else(missing)?;
            check_live(&image.link)?;
            let format = formats::of_image(bytes)
                .ok_or_else(|| text(StatusCode::BAD_REQUEST, "the image is neither JPEG nor PNG or GIF"))?;
            image.file = Some(StoredFile::of(bytes, format, now));
            Ok(())
        }
        _ => Err(ErrorResponse::from(missing())),
    });
    stored.ok_or_else(missing)?
}

/// A link that a fault has made expire answers with the fault's status.
fn check_live(link: &FileLink) -> Result<(), ErrorResponse> {
    match link.dead_status.and_then(|status| StatusCode::from_u16(status).ok()) {
        None => Ok(()),
        Some(status) => Err(not_found(status).into()),
    }
}

/// Sends the file of a text track.
pub(crate) async fn read(
    State(app_state): State<Arc<AppState>>,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    if request.method() != Method::GET {
        return method_not_allowed("GET");
    }
    let key = key.map(|Path(key)| key).unwrap_or_default();
    let found = find_file(&app_state, &key);
    let Some((content, format)) = found else { return not_found(StatusCode::NOT_FOUND) };
    let mut response = Response::new(Body::from(content));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(formats::content_type(&format)));
    response
}

/// The content of a text track's file, and its format.
fn find_file(app_state: &AppState, key: &str) -> Option<(Vec<u8>, String)> {
    let mut parts = key.split('-');
    let (video, track) = (VideoId::parse(parts.next()?)?, parts.next()?.parse().ok()?);
    let vimeo_state = app_state.vimeo();
    let track = vimeo_state.find_video(video)?.text_track(track)?;
    let file = track.file.as_ref().filter(|_| read_key(video, track) == key)?;
    Some((STANDARD.decode(&file.content).ok()?, file.format.clone()))
}
