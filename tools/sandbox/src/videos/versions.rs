//! Versions: the current and earlier files of a video.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use super::create::{check_quota, made, read_upload, uploader};
use super::{AccessError, find_own, present};
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult};
use crate::app_state::AppState;
use crate::body_members::required_text;
use crate::errors::{self, no_content};
use crate::lists;
use crate::state::{Feature, QuotaUse, Version, VersionId, Video, VideoId, VimeoState};
use crate::uploads;

const VERSION: &str = "application/vnd.vimeo.video.version+json";

/// `POST /videos/{video}/versions`: a new file, which becomes active once it can be played.
pub(crate) async fn create_version(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let (_, user) = uploader(&request)?;
    let id = video_number(&request)?;
    if app_state.rate_limits().plan(user).is_free() || user.refused_features.contains(&Feature::Versions) {
        return Err(errors::plan_lacks(Feature::Versions).into());
    }
    let members = request.members_of_some()?;
    let wanted = read_upload(&members)?;
    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo_now();
    let is_restricted = video_of(&vimeo_state, &request)?.settings.privacy.is_restricted();
    let file_name = required_text(&members, "file_name")?;
    check_quota(&vimeo_state, user, QuotaUse { bytes: wanted.size.unwrap_or(0), videos: 0, is_restricted })?;
    let new = wanted.into_version(Some(file_name), app_state.link_expiry(now));
    let version = vimeo_state.add_version(id, new, now).ok_or_else(no_video)?;
    let video = vimeo_state.find_video(id).ok_or_else(no_video)?;
    let new = video.version(version).ok_or_else(no_version)?;
    let shown = present::version(&app_state, &vimeo_state, video, new);
    drop(vimeo_state);
    uploads::start(&app_state, id, version);
    Ok(made(request.present(StatusCode::CREATED, VERSION, shown), id, version))
}

/// `GET /videos/{video}/versions`, newest first.
pub(crate) async fn list_versions(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("private")?;
    let vimeo_state = app_state.vimeo_now();
    let video = video_of(&vimeo_state, &request)?;
    let versions: Vec<&Version> = video.versions.iter().rev().collect();
    lists::answer(&request, versions, |version, _| present::version(&app_state, &vimeo_state, video, version))
}

/// `GET /videos/{video}/versions/{version}`.
pub(crate) async fn show_version(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("private")?;
    let version = version_number(&request)?;
    let vimeo_state = app_state.vimeo_now();
    let video = video_of(&vimeo_state, &request)?;
    let found = video.version(version).ok_or_else(no_version)?;
    let shown = present::version(&app_state, &vimeo_state, video, found);
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, VERSION, shown))
}

/// `PATCH /videos/{video}/versions/{version}` with `{"is_current": true}`: back to an earlier file.
pub(crate) async fn edit_version(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("edit")?;
    let (id, version) = (video_number(&request)?, version_number(&request)?);
    let members = request.members()?;
    let mut vimeo_state = app_state.vimeo_now();
    video_of(&vimeo_state, &request)?;
    if vimeo_state.version(id, version).is_none() {
        return Err(no_version().into());
    }
    if ["is_current", "active"].iter().any(|name| members.get(*name) == Some(&Value::Bool(true))) {
        vimeo_state.edit_video(id, |video| video.active = version);
    }
    let video = vimeo_state.find_video(id).ok_or_else(no_video)?;
    let found = video.version(version).ok_or_else(no_version)?;
    let shown = present::version(&app_state, &vimeo_state, video, found);
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, VERSION, shown))
}

/// `DELETE /videos/{video}/versions/{version}`: any but the active one.
pub(crate) async fn delete_version(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("delete")?;
    let (id, version) = (video_number(&request)?, version_number(&request)?);
    let mut vimeo_state = app_state.vimeo_now();
    if video_of(&vimeo_state, &request)?.active == version {
        let text = "The version that is played cannot be deleted.";
        return Err(errors::full(StatusCode::NOT_FOUND, 5013, text, text).into());
    }
    let orphan = vimeo_state.remove_version(id, version).ok_or_else(no_version)?;
    uploads::remove(&app_state, vimeo_state, &[orphan]);
    Ok(no_content())
}

fn video_number(request: &ApiRequest) -> Result<VideoId, ErrorResponse> {
    request.video().map_err(|_| no_video().into())
}

fn version_number(request: &ApiRequest) -> Result<VersionId, ErrorResponse> {
    let found = request.parameter("version").and_then(VersionId::parse);
    found.ok_or_else(|| no_version().into())
}

/// The caller's own video. These endpoints have their own code for missing resources.
fn video_of<'a>(vimeo_state: &'a VimeoState, request: &ApiRequest) -> Result<&'a Video, ErrorResponse> {
    find_own(vimeo_state, request.caller()?, video_number(request)?, request.video_hash()).map_err(|denied| {
        match denied {
            AccessError::Missing => no_video().into(),
            AccessError::NotOwned => {
                let text = "The video belongs to another user.";
                errors::full(StatusCode::FORBIDDEN, 3427, text, text).into()
            }
        }
    })
}

fn no_video() -> axum::response::Response {
    let text = "The video doesn't exist.";
    errors::full(StatusCode::NOT_FOUND, 5011, text, text)
}

fn no_version() -> axum::response::Response {
    let text = "The video has no such version.";
    errors::full(StatusCode::NOT_FOUND, 5012, text, text)
}
