//! Chapters of a video.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::own_video;
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, invalid_field};
use crate::app_state::AppState;
use crate::body_members::required_text;
use crate::errors::{self, no_content};
use crate::lists;
use crate::state::{Chapter, Feature, Video, VideoId};

const CHAPTER: &str = "application/vnd.vimeo.video.chapter+json";

/// `POST /videos/{video}/chapters` with `{"title", "timecode"}`; the time is in seconds.
pub(crate) async fn create_chapter(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_for("upload", Feature::Chapters)?;
    let id = request.video()?;
    let members = request.members_of_some()?;
    let mut vimeo_state = app_state.vimeo();
    own_video(&vimeo_state, &request)?;
    let (title, timecode) = (required_text(&members, "title")?, read_timecode(&members)?);
    let chapter = vimeo_state.add_chapter(id, title, timecode).ok_or_else(taken)?;
    drop(vimeo_state);
    Ok(request.present(StatusCode::CREATED, CHAPTER, present(id, &chapter)))
}

/// `GET /videos/{video}/chapters`, in the order of their time.
pub(crate) async fn list_chapters(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("private")?;
    let id = request.video()?;
    let vimeo_state = app_state.vimeo();
    let chapters: Vec<&Chapter> = own_video(&vimeo_state, &request)?.chapters.iter().collect();
    lists::answer(&request, chapters, |chapter, _| present(id, chapter))
}

/// `GET /videos/{video}/chapters/{chapter}`.
pub(crate) async fn show_chapter(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("private")?;
    let id = request.video()?;
    let vimeo_state = app_state.vimeo();
    let shown = present(id, find(own_video(&vimeo_state, &request)?, request.number("chapter")?)?);
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, CHAPTER, shown))
}

/// `PATCH /videos/{video}/chapters/{chapter}` with `title`, `timecode` or both.
pub(crate) async fn edit_chapter(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_for("upload", Feature::Chapters)?;
    let (id, number) = (request.video()?, request.number("chapter")?);
    let members = request.members_of_some()?;
    let mut vimeo_state = app_state.vimeo();
    let video = own_video(&vimeo_state, &request)?;
    let mut chapter = find(video, number)?.clone();
    if members.contains_key("title") {
        chapter.title = required_text(&members, "title")?;
    }
    if members.contains_key("timecode") {
        chapter.timecode = read_timecode(&members)?;
    }
    let mut others = video.chapters.iter().filter(|other| other.number != number);
    if others.any(|other| other.timecode == chapter.timecode) {
        return Err(taken());
    }
    let shown = present(id, &chapter);
    vimeo_state.edit_video(id, |video| {
        video.chapters.retain(|other| other.number != number);
        video.chapters.push(chapter);
        video.chapters.sort_by_key(|chapter| chapter.timecode);
    });
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, CHAPTER, shown))
}

/// `DELETE /videos/{video}/chapters/{chapter}`.
pub(crate) async fn delete_chapter(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_for("upload", Feature::Chapters)?;
    let (id, number) = (request.video()?, request.number("chapter")?);
    let mut vimeo_state = app_state.vimeo();
    find(own_video(&vimeo_state, &request)?, number)?;
    vimeo_state.edit_video(id, |video| video.chapters.retain(|chapter| chapter.number != number));
    Ok(no_content())
}

fn find(video: &Video, number: u64) -> Result<&Chapter, ErrorResponse> {
    let found = video.chapters.iter().find(|chapter| chapter.number == number);
    found.ok_or_else(|| errors::missing_resource().into())
}

fn taken() -> ErrorResponse {
    invalid_field("timecode", 2204, "is that of another chapter of the video")
}

fn read_timecode(members: &Map<String, Value>) -> Result<u64, ErrorResponse> {
    match members.get("timecode") {
        None | Some(Value::Null) => Err(invalid_field("timecode", 2204, "is missing")),
        Some(value) => value
            .as_u64()
            .ok_or_else(|| invalid_field("timecode", 2204, "must be whole seconds from the beginning")),
    }
}

fn present(video: VideoId, chapter: &Chapter) -> Value {
    json!({
        "uri": format!("{video}/chapters/{}", chapter.number),
        "title": chapter.title,
        "timecode": chapter.timecode,
        "active": true,
        "resource_key": format!("{:040x}", chapter.number),
    })
}
