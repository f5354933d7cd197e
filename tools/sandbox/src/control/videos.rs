//! The controls for videos: every version with its bytes, and its stages.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::{error_response, json_response, members, publication};
use crate::ambient::iso_8601;
use crate::api_request::ErrorResponse;
use crate::app_state::AppState;
use crate::state::{Stage, Upload, Version, VersionId, Video, VideoId, VimeoState, fingerprint};
use crate::uploads;
use crate::videos;

/// `GET /_sandbox/videos`: all videos, oldest first.
pub(super) async fn list(State(app_state): State<Arc<AppState>>) -> Response {
    let shown: Vec<Value> = {
        let vimeo_state = app_state.vimeo_now();
        vimeo_state.list_videos().map(|video| present(&vimeo_state, video)).collect()
    };
    json_response(StatusCode::OK, &json!({"videos": shown}))
}

/// `GET /_sandbox/videos/{number}`: one video.
pub(super) async fn show(State(app_state): State<Arc<AppState>>, Path(number): Path<String>) -> Response {
    match find(&app_state, &number) {
        Ok((video, _)) => shown(&app_state, video),
        Err(refusal) => refusal.into_response(),
    }
}

/// `GET /_sandbox/videos/{number}/bytes`: the bytes of the active version.
pub(super) async fn bytes(State(app_state): State<Arc<AppState>>, Path(number): Path<String>) -> Response {
    let (video, version) = match find(&app_state, &number) {
        Ok(found) => found,
        Err(refusal) => return refusal.into_response(),
    };
    let received =
        app_state.vimeo().version(video, version).map_or(0, |version| version.upload.received.bytes);
    let Some(path) = uploads::path_of(&app_state, video, version) else {
        let sentence = "The bytes are only hashed; start the sandbox with --keep-bytes to keep them.";
        return error_response(StatusCode::NOT_FOUND, sentence);
    };
    let body = match File::open(path).await {
        Ok(file) if file.metadata().await.is_ok_and(|known| known.len() >= received) => {
            Body::from_stream(ReaderStream::new(file.take(received)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && received == 0 => Body::empty(),
        _ => return error_response(StatusCode::NOT_FOUND, "Not all of the bytes were kept."),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(received));
    response
}

/// `POST /_sandbox/videos/{number}/step`: advances the newest version to the next stage.
pub(super) async fn step(
    State(app_state): State<Arc<AppState>>,
    Path(number): Path<String>,
    body: Body,
) -> Response {
    let now = app_state.now();
    let read = members(body).await.and_then(|members| members.refuse_unknown("a step", &[]));
    change(&app_state, &number, read, |upload, ()| {
        let before = upload.stage().clone();
        upload.advance_stage(now);
        match (&before, *upload.stage() == before) {
            (_, false) => Ok(()),
            (Stage::Uploading, true) => Err("Bytes are missing, so there is no next step."),
            (_, true) => Err("It has ended, so there is no next step."),
        }
    })
}

/// `POST /_sandbox/videos/{number}/fail`: fails the newest version, now or in the place of success.
pub(super) async fn fail(
    State(app_state): State<Arc<AppState>>,
    Path(number): Path<String>,
    body: Body,
) -> Response {
    let now = app_state.now();
    let read = members(body).await.and_then(|mut members| {
        members.refuse_unknown("a failure", &["status", "error", "upload_status", "when"])?;
        let when = match members.text("when")?.as_deref() {
            None | Some("now") => When::Now,
            Some("due") => When::Due,
            Some(_) => return Err("`when` must be \"now\" or \"due\".".to_owned()),
        };
        Ok((members.failure()?, when))
    });
    change(&app_state, &number, read, |upload, (failure, when)| match (when, upload.stage()) {
        (When::Now, _) => {
            upload.fail(failure, now);
            Ok(())
        }
        (When::Due, Stage::Available | Stage::Failed(_)) => Err("It has already ended."),
        (When::Due, Stage::TranscodeStarting | Stage::Transcoding) if !failure.is_of_transcoding() => {
            Err("Its upload has already succeeded; a failure of transcoding has a `status` of its own.")
        }
        (When::Due, _) => {
            upload.scheduled_failure = Some(failure);
            Ok(())
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Now,
    Due,
}

/// `POST /_sandbox/videos/{number}/expire-link`: expires the link of the newest version.
pub(super) async fn expire_link(
    State(app_state): State<Arc<AppState>>,
    Path(number): Path<String>,
    body: Body,
) -> Response {
    let now = app_state.now();
    let read = members(body).await.and_then(|members| members.refuse_unknown("an end of a link", &[]));
    change(&app_state, &number, read, |upload, ()| {
        upload.expires_at = Some(now);
        Ok(())
    })
}

/// Changes the newest version, and returns the video afterwards.
fn change<T>(
    app_state: &AppState,
    number: &str,
    read: Result<T, String>,
    write: impl FnOnce(&mut Upload, T) -> Result<(), &'static str>,
) -> Response {
    let wanted = match read {
        Ok(wanted) => wanted,
        Err(sentence) => return error_response(StatusCode::BAD_REQUEST, &sentence),
    };
    let (video, _) = match find(app_state, number) {
        Ok(found) => found,
        Err(refusal) => return refusal.into_response(),
    };
    let written = app_state.vimeo_now().edit_video(video, |video| {
        video.versions.last_mut().map(|version| write(&mut version.upload, wanted))
    });
    let Some(written) = written.flatten() else { return missing() };
    match written {
        Ok(()) => shown(app_state, video),
        Err(sentence) => error_response(StatusCode::CONFLICT, sentence),
    }
}

fn find(app_state: &AppState, number: &str) -> Result<(VideoId, VersionId), ErrorResponse> {
    let id = VideoId::parse(number);
    let vimeo_state = app_state.vimeo();
    let found = id.and_then(|id| vimeo_state.find_video(id)).map(|video| (video.id, video.active));
    found.ok_or_else(|| missing().into())
}

fn missing() -> Response {
    error_response(StatusCode::NOT_FOUND, "There is no such video; GET /_sandbox/videos lists them.")
}

fn shown(app_state: &AppState, video: VideoId) -> Response {
    let shown = {
        let vimeo_state = app_state.vimeo_now();
        vimeo_state.find_video(video).map(|video| present(&vimeo_state, video))
    };
    shown.map_or_else(missing, |shown| json_response(StatusCode::OK, &shown))
}

fn present(vimeo_state: &VimeoState, video: &Video) -> Value {
    let versions: Vec<Value> =
        video.versions.iter().map(|version| present_version(version, video.active)).collect();
    let stage = video.active_version().map(|version| videos::status(&version.upload));
    let mut shown = json!({
        "uri": video.id.to_string(),
        "name": video.settings.name,
        "owner": {
            "uri": video.owner.to_string(),
            "name": vimeo_state.find_user(video.owner).map(|user| user.name.as_str()),
        },
        "status": stage,
        "created_at": iso_8601(video.created_at),
        "versions": versions,
    });
    if let (Value::Object(shown), Value::Object(more)) =
        (&mut shown, publication::present(vimeo_state, video))
    {
        shown.extend(more);
    }
    shown
}

fn present_version(version: &Version, active: VersionId) -> Value {
    let upload = &version.upload;
    let error = match upload.stage() {
        Stage::Failed(failure) => failure.error.as_deref(),
        _ => None,
    };
    json!({
        "number": version.id.number(),
        "active": version.id == active,
        "file_name": version.file_name,
        "approach": upload.approach.name(),
        "size": upload.size,
        "received": upload.received.bytes,
        "sha256": upload.received.sha256(),
        "stage": videos::status(upload),
        "error": error,
        "fate": upload.scheduled_failure,
        "link_fingerprint": fingerprint(upload.key.as_bytes()),
        "link_expires_at": upload.expires_at.map(iso_8601),
    })
}
