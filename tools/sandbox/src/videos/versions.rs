//! Versions: the files that a video has had, and how it gets another.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use super::create::{check_quota, made, read_upload, uploader};
use super::{Denied, find_own, present};
use crate::ask::{Answered, Ask, Refusal, refuse};
use crate::desk::Desk;
use crate::errors::{self, no_content};
use crate::lists;
use crate::state::{Addition, Version, VersionId, Video, VideoId, World};
use crate::uploads;

const VERSION: &str = "application/vnd.vimeo.video.version+json";

/// `POST /videos/{video}/versions`: another file for the video, which is played as soon as it can be.
pub(crate) async fn create_version(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = uploader(&ask)?;
    let id = video_number(&ask)?;
    if desk.windows().plan(user).is_free() {
        let text = "The user's plan does not let them replace the file of a video.";
        return Err(errors::full(StatusCode::FORBIDDEN, 3427, text, text).into());
    }
    let members = ask.members_of_some()?;
    let wanted = read_upload(&members)?;
    let file_name = match members.get("file_name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(_) => {
            return Err(refuse("file_name", 2204, "must be a string"));
        }
    };
    let now = desk.now();
    let mut world = desk.world_by_now();
    video_of(&world, &ask)?;
    check_quota(&world, user, Addition { bytes: wanted.size.unwrap_or(0), videos: 0 })?;
    let new = wanted.into_version(file_name, desk.link_expiry(now));
    let version = world.add_version(id, new, now).ok_or_else(no_video)?;
    let video = world.find_video(id).ok_or_else(no_video)?;
    let new = video.version(version).ok_or_else(no_version)?;
    let shown = present::version(&desk, &world, video, new);
    drop(world);
    uploads::begin(&desk, id, version);
    Ok(made(ask.present(StatusCode::CREATED, VERSION, shown), id, version))
}

/// `GET /videos/{video}/versions`, newest first.
pub(crate) async fn list_versions(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    ask.user_with("private")?;
    let world = desk.world_by_now();
    let video = video_of(&world, &ask)?;
    let versions: Vec<&Version> = video.versions.iter().rev().collect();
    lists::answer(&ask, versions, |version, _| present::version(&desk, &world, video, version))
}

/// `GET /videos/{video}/versions/{version}`.
pub(crate) async fn show_version(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    ask.user_with("private")?;
    let version = version_number(&ask)?;
    let world = desk.world_by_now();
    let video = video_of(&world, &ask)?;
    let found = video.version(version).ok_or_else(no_version)?;
    let shown = present::version(&desk, &world, video, found);
    drop(world);
    Ok(ask.present(StatusCode::OK, VERSION, shown))
}

/// `PATCH /videos/{video}/versions/{version}` with `{"is_current": true}`: back to an older file.
pub(crate) async fn edit_version(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    ask.user_with("edit")?;
    let (id, version) = (video_number(&ask)?, version_number(&ask)?);
    let members = ask.members()?;
    let mut world = desk.world_by_now();
    video_of(&world, &ask)?;
    if world.version(id, version).is_none() {
        return Err(no_version().into());
    }
    if ["is_current", "active"].iter().any(|name| members.get(*name) == Some(&Value::Bool(true))) {
        world.edit_video(id, |video| video.active = version);
    }
    let video = world.find_video(id).ok_or_else(no_video)?;
    let found = video.version(version).ok_or_else(no_version)?;
    let shown = present::version(&desk, &world, video, found);
    drop(world);
    Ok(ask.present(StatusCode::OK, VERSION, shown))
}

/// `DELETE /videos/{video}/versions/{version}`: any but the one that is played.
pub(crate) async fn delete_version(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    ask.user_with("delete")?;
    let (id, version) = (video_number(&ask)?, version_number(&ask)?);
    let mut world = desk.world_by_now();
    if video_of(&world, &ask)?.active == version {
        let text = "The version that is played cannot be deleted.";
        return Err(errors::full(StatusCode::NOT_FOUND, 5013, text, text).into());
    }
    let orphan = world.remove_version(id, version).ok_or_else(no_version)?;
    uploads::forget(&desk, world, &[orphan]);
    Ok(no_content())
}

fn video_number(ask: &Ask) -> Result<VideoId, Refusal> {
    ask.video().map_err(|_| no_video().into())
}

fn version_number(ask: &Ask) -> Result<VersionId, Refusal> {
    let found = ask.parameter("version").and_then(VersionId::parse);
    found.ok_or_else(|| no_version().into())
}

/// The caller's own video. What is not there has a code of its own here.
fn video_of<'a>(world: &'a World, ask: &Ask) -> Result<&'a Video, Refusal> {
    find_own(world, ask.caller()?, video_number(ask)?, ask.video_hash()).map_err(|denied| match denied {
        Denied::Missing => no_video().into(),
        Denied::NotYours => denied.into(),
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
