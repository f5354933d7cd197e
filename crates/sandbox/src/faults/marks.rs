//! What faults leave on uploads: dead links, and ends that are not good.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::Made;
use crate::desk::Desk;
use crate::state::{Failure, VersionId, VideoId};

/// Makes the upload link of this path dead for good, if it is one.
pub(super) fn kill_link(desk: &Desk, path: &str, status: StatusCode) {
    let now = desk.now();
    let key = path.rsplit('/').next().unwrap_or_default();
    let mut world = desk.world();
    let Some((video, version)) = world.find_upload(key) else { return };
    if let Some(version) = world.version_mut(video, version) {
        version.upload.kill_link(status, now);
    }
}

/// Decides how the version ends that a request has made, and leaves its answer as it is.
pub(super) async fn doom(desk: &Desk, response: Response, fate: &Failure) -> Response {
    let (response, made) = match response.extensions().get::<Made>() {
        Some(Made(video, version)) => {
            let made = (*video, *version);
            (response, Some(made))
        }
        None if response.status().is_success() => {
            let (parts, body) = response.into_parts();
            let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let made = told_of(desk, &whole);
            (Response::from_parts(parts, Body::from(whole)), made)
        }
        None => (response, None),
    };
    let now = desk.now();
    if let Some((video, version)) = made
        && let Some(version) = desk.world().version_mut(video, version)
    {
        version.upload.doom(fate.clone(), now);
    }
    response
}

/// The version that an answer speaks of: `/videos/N/versions/M`, or the one of `/videos/N` that is played.
fn told_of(desk: &Desk, answer: &Bytes) -> Option<(VideoId, VersionId)> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let mut segments = answer.get("uri")?.as_str()?.strip_prefix("/videos/")?.split('/');
    let video = VideoId::parse(segments.next()?.split(':').next()?)?;
    match segments.next() {
        Some("versions") => Some((video, VersionId::parse(segments.next()?)?)),
        Some(_) => None,
        None => Some((video, desk.world().find_video(video)?.active)),
    }
}
