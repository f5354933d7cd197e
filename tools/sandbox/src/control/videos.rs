//! Videos as a person sees and steers them: every version with its bytes, and its next step by hand.

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

use super::{done, members, refused};
use crate::ambient::iso_8601;
use crate::ask::Refusal;
use crate::desk::Desk;
use crate::state::{Stage, Upload, Version, VersionId, Video, VideoId, World, fingerprint};
use crate::uploads;
use crate::videos;

/// `GET /_sandbox/videos`: all of them, oldest first.
pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Response {
    let shown: Vec<Value> = {
        let world = desk.world_by_now();
        world.list_videos().map(|video| present(&world, video)).collect()
    };
    done(StatusCode::OK, &json!({"videos": shown}))
}

/// `GET /_sandbox/videos/{number}`: one of them.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Path(number): Path<String>) -> Response {
    match find(&desk, &number) {
        Ok((video, _)) => shown(&desk, video),
        Err(refusal) => refusal.into_response(),
    }
}

/// `GET /_sandbox/videos/{number}/bytes`: the bytes of the version that is played.
pub(super) async fn bytes(State(desk): State<Arc<Desk>>, Path(number): Path<String>) -> Response {
    let (video, version) = match find(&desk, &number) {
        Ok(found) => found,
        Err(refusal) => return refusal.into_response(),
    };
    let received = desk.world().version(video, version).map_or(0, |version| version.upload.received.bytes);
    let Some(path) = uploads::path_of(&desk, video, version) else {
        let sentence = "The bytes are only hashed; start the sandbox with --keep-bytes to have them kept.";
        return refused(StatusCode::NOT_FOUND, sentence);
    };
    let body = match File::open(path).await {
        Ok(file) if file.metadata().await.is_ok_and(|known| known.len() >= received) => {
            Body::from_stream(ReaderStream::new(file.take(received)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && received == 0 => Body::empty(),
        _ => return refused(StatusCode::NOT_FOUND, "Not all of the bytes were kept."),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(received));
    response
}

/// `POST /_sandbox/videos/{number}/step`: the next stage.
pub(super) async fn step(State(desk): State<Arc<Desk>>, Path(number): Path<String>, body: Body) -> Response {
    let now = desk.now();
    let read = members(body).await.and_then(|members| members.refuse_unknown("a step", &[]));
    change(&desk, &number, read, |upload, ()| {
        let before = upload.stage().clone();
        upload.go_on(now);
        match (&before, *upload.stage() == before) {
            (_, false) => Ok(()),
            (Stage::Uploading, true) => Err("Bytes are missing, so there is no next step."),
            (_, true) => Err("It has come to its end, so there is no next step."),
        }
    })
}

/// `POST /_sandbox/videos/{number}/fail`: ends it badly, now or when it would have ended well.
pub(super) async fn fail(State(desk): State<Arc<Desk>>, Path(number): Path<String>, body: Body) -> Response {
    let now = desk.now();
    let read = members(body).await.and_then(|mut members| {
        members.refuse_unknown("a failure", &["status", "error", "upload_status", "when"])?;
        let when = match members.text("when")?.as_deref() {
            None | Some("now") => When::Now,
            Some("due") => When::Due,
            Some(_) => return Err("`when` must be \"now\" or \"due\".".to_owned()),
        };
        Ok((members.failure()?, when))
    });
    change(&desk, &number, read, |upload, (failure, when)| match (when, upload.stage()) {
        (When::Now, _) => {
            upload.fail(failure, now);
            Ok(())
        }
        (When::Due, Stage::Available | Stage::Failed(_)) => Err("It has come to its end already."),
        (When::Due, Stage::TranscodeStarting | Stage::Transcoding) if !failure.is_of_transcoding() => {
            Err("Its upload has ended well already; a failure of transcoding has a `status` of its own.")
        }
        (When::Due, _) => {
            upload.fate = Some(failure);
            Ok(())
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Now,
    Due,
}

/// `POST /_sandbox/videos/{number}/expire-link`: the link is dead from now on.
pub(super) async fn expire_link(
    State(desk): State<Arc<Desk>>,
    Path(number): Path<String>,
    body: Body,
) -> Response {
    let now = desk.now();
    let read = members(body).await.and_then(|members| members.refuse_unknown("an end of a link", &[]));
    change(&desk, &number, read, |upload, ()| {
        upload.expires_at = Some(now);
        Ok(())
    })
}

/// Does something to the newest version, and shows the video as it is then.
fn change<T>(
    desk: &Desk,
    number: &str,
    read: Result<T, String>,
    write: impl FnOnce(&mut Upload, T) -> Result<(), &'static str>,
) -> Response {
    let wanted = match read {
        Ok(wanted) => wanted,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    let (video, _) = match find(desk, number) {
        Ok(found) => found,
        Err(refusal) => return refusal.into_response(),
    };
    let written = desk.world_by_now().edit_video(video, |video| {
        video.versions.last_mut().map(|version| write(&mut version.upload, wanted))
    });
    let Some(written) = written.flatten() else { return missing() };
    match written {
        Ok(()) => shown(desk, video),
        Err(sentence) => refused(StatusCode::CONFLICT, sentence),
    }
}

fn find(desk: &Desk, number: &str) -> Result<(VideoId, VersionId), Refusal> {
    let id = VideoId::parse(number);
    let world = desk.world();
    let found = id.and_then(|id| world.find_video(id)).map(|video| (video.id, video.active));
    found.ok_or_else(|| missing().into())
}

fn missing() -> Response {
    refused(StatusCode::NOT_FOUND, "There is no such video; GET /_sandbox/videos lists them.")
}

fn shown(desk: &Desk, video: VideoId) -> Response {
    let shown = {
        let world = desk.world_by_now();
        world.find_video(video).map(|video| present(&world, video))
    };
    shown.map_or_else(missing, |shown| done(StatusCode::OK, &shown))
}

fn present(world: &World, video: &Video) -> Value {
    let versions: Vec<Value> =
        video.versions.iter().map(|version| present_version(version, video.active)).collect();
    let stage = video.active_version().map(|version| videos::status(&version.upload));
    json!({
        "uri": video.id.to_string(),
        "name": video.settings.name,
        "owner": {
            "uri": video.owner.to_string(),
            "name": world.find_user(video.owner).map(|user| user.name.as_str()),
        },
        "status": stage,
        "created_at": iso_8601(video.created_at),
        "versions": versions,
    })
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
        "fate": upload.fate,
        "link_fingerprint": fingerprint(upload.key.as_bytes()),
        "link_expires_at": upload.expires_at.map(iso_8601),
    })
}
