//! Text tracks: subtitles and other texts that a player shows beside a video.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::own_video;
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, invalid_field};
use crate::app_state::AppState;
use crate::body_members::{boolean, required_text, text};
use crate::catalogue::{is_language, language_name};
use crate::errors::{self, no_content};
use crate::lists;
use crate::state::{Feature, NewTextTrack, StateSettings, TextTrack, VideoId};
use crate::uploads::files;

const TEXT_TRACK: &str = "application/vnd.vimeo.video.texttrack+json";

/// `POST /videos/{video}/texttracks` with `{"type", "language", "name"?, "active"?}`: a track without a file, which is
/// then sent to its `link`.
pub(crate) async fn create_text_track(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_for("upload", Feature::TextTracks)?;
    let id = request.video()?;
    let members = request.members_of_some()?;
    let mut vimeo_state = app_state.vimeo();
    own_video(&vimeo_state, &request)?;
    let new = read_new(&members)?;
    let number = vimeo_state.add_text_track(id, new).ok_or_else(errors::missing_resource)?;
    let track = own_video(&vimeo_state, &request)?.text_track(number).ok_or_else(errors::missing_resource)?;
    let created = StateSettings { shows_links_of_empty_tracks: true, ..vimeo_state.settings.clone() };
    let shown = present(&app_state, &created, id, track);
    drop(vimeo_state);
    Ok(request.present(StatusCode::CREATED, TEXT_TRACK, shown))
}

/// `GET /videos/{video}/texttracks`.
pub(crate) async fn list_text_tracks(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("private")?;
    let id = request.video()?;
    let vimeo_state = app_state.vimeo();
    let tracks: Vec<&TextTrack> = own_video(&vimeo_state, &request)?.text_tracks.iter().collect();
    lists::answer(&request, tracks, |track, _| present(&app_state, &vimeo_state.settings, id, track))
}

/// `GET /videos/{video}/texttracks/{track}`.
pub(crate) async fn show_text_track(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("private")?;
    let (id, number) = (request.video()?, request.number("track")?);
    let vimeo_state = app_state.vimeo();
    let track = own_video(&vimeo_state, &request)?.text_track(number).ok_or_else(errors::missing_resource)?;
    let shown = present(&app_state, &vimeo_state.settings, id, track);
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, TEXT_TRACK, shown))
}

/// `PATCH /videos/{video}/texttracks/{track}` with any of `type`, `language`, `name` and `active`.
pub(crate) async fn edit_text_track(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_for("upload", Feature::TextTracks)?;
    let (id, number) = (request.video()?, request.number("track")?);
    let members = request.members_of_some()?;
    let mut vimeo_state = app_state.vimeo();
    let before = own_video(&vimeo_state, &request)?.text_track(number);
    let mut track = before.ok_or_else(errors::missing_resource)?.clone();
    if members.contains_key("type") {
        track.kind = read_type(&members)?;
    }
    if members.contains_key("language") {
        track.language = read_language(&members)?;
    }
    track.name = text(&members, "name")?.unwrap_or(track.name);
    track.is_active = boolean(&members, "active")?.unwrap_or(track.is_active);
    let shown = present(&app_state, &vimeo_state.settings, id, &track);
    vimeo_state.edit_video(id, |video| video.edit_text_track(number, |kept| *kept = track));
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, TEXT_TRACK, shown))
}

/// `DELETE /videos/{video}/texttracks/{track}`.
pub(crate) async fn delete_text_track(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_for("upload", Feature::TextTracks)?;
    let (id, number) = (request.video()?, request.number("track")?);
    let mut vimeo_state = app_state.vimeo();
    own_video(&vimeo_state, &request)?.text_track(number).ok_or_else(errors::missing_resource)?;
    vimeo_state.edit_video(id, |video| video.text_tracks.retain(|track| track.number != number));
    Ok(no_content())
}

fn read_new(members: &Map<String, Value>) -> Result<NewTextTrack, ErrorResponse> {
    let (kind, language) = (read_type(members)?, read_language(members)?);
    let name = text(members, "name")?.unwrap_or_else(|| language_name(&language));
    Ok(NewTextTrack { kind, language, name, is_active: boolean(members, "active")?.unwrap_or(false) })
}

fn read_type(members: &Map<String, Value>) -> Result<String, ErrorResponse> {
    let kind = required_text(members, "type")?;
    if TextTrack::TYPES.contains(&kind.as_str()) {
        return Ok(kind);
    }
    Err(invalid_field("type", 2204, "must be captions, subtitles, chapters, descriptions or metadata"))
}

fn read_language(members: &Map<String, Value>) -> Result<String, ErrorResponse> {
    let language = required_text(members, "language")?;
    if is_language(&language) {
        return Ok(language);
    }
    Err(invalid_field("language", 2204, "is not a language in GET /languages?filter=texttracks"))
}

fn present(app_state: &AppState, settings: &StateSettings, video: VideoId, track: &TextTrack) -> Value {
    let read_link = track.file.as_ref().map(|_| files::read_link(app_state, video, track));
    let upload_link = || {
        let is_shown = settings.shows_links_of_empty_tracks;
        is_shown.then(|| files::link(app_state, files::TEXT_TRACK_ROUTE, &track.link))
    };
    json!({
        "uri": format!("{video}/texttracks/{}", track.number),
        "id": track.number,
        "active": track.is_active,
        "type": track.kind,
        "language": track.language,
        "display_language": language_name(&track.language),
        "name": track.name,
        "link": read_link.clone().or_else(upload_link),
        "link_expires_time": null,
        "hls_link": read_link,
        "hls_link_expires_time": null,
    })
}
