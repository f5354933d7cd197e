//! Tags of a video.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::own_video;
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, invalid_field};
use crate::app_state::AppState;
use crate::errors::{self, no_content};
use crate::lists;
use crate::state::{Feature, Video, canonical_tag};

const TAG: &str = "application/vnd.vimeo.tag+json";

/// `GET /videos/{video}/tags`.
pub(crate) async fn list_tags(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    request.user_with("private")?;
    let vimeo_state = app_state.vimeo();
    let tags: Vec<&String> = own_video(&vimeo_state, &request)?.tags.iter().collect();
    lists::answer(&request, tags, |tag, _| present(tag))
}

/// `PUT /videos/{video}/tags` with a list of names, or of objects with a `name`: adds all of them, or none.
pub(crate) async fn add_tags(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    request.user_for("edit", Feature::Tags)?;
    let id = request.video()?;
    let names = read_names(&request)?;
    let mut vimeo_state = app_state.vimeo();
    let mut video = own_video(&vimeo_state, &request)?.clone();
    add_all(&mut video, &names)?;
    let Video { tags, .. } = video;
    vimeo_state.edit_video(id, |video| video.tags.clone_from(&tags));
    drop(vimeo_state);
    lists::answer(&request, tags.iter().collect::<Vec<_>>(), |tag, _| present(tag))
}

/// `GET /videos/{video}/tags/{word}`: the tag, if the video has it.
pub(crate) async fn show_tag(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    request.user_with("private")?;
    let vimeo_state = app_state.vimeo();
    let found = find(own_video(&vimeo_state, &request)?, word(&request)).map(|tag| present(tag));
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, TAG, found.ok_or_else(errors::missing_resource)?))
}

/// `PUT /videos/{video}/tags/{word}`.
pub(crate) async fn add_tag(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    request.user_for("edit", Feature::Tags)?;
    let id = request.video()?;
    let name = checked(word(&request))?;
    let mut vimeo_state = app_state.vimeo();
    let mut video = own_video(&vimeo_state, &request)?.clone();
    add_all(&mut video, &[name])?;
    vimeo_state.edit_video(id, |kept| kept.tags = video.tags);
    Ok(no_content())
}

/// `DELETE /videos/{video}/tags/{word}`.
pub(crate) async fn remove_tag(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    request.user_for("edit", Feature::Tags)?;
    let id = request.video()?;
    let mut vimeo_state = app_state.vimeo();
    let video = own_video(&vimeo_state, &request)?;
    let tag = find(video, word(&request)).ok_or_else(errors::missing_resource)?.clone();
    vimeo_state.edit_video(id, |video| video.tags.retain(|kept| *kept != tag));
    Ok(no_content())
}

fn add_all(video: &mut Video, names: &[String]) -> Result<(), ErrorResponse> {
    if names.iter().all(|name| video.add_tag(name)) {
        return Ok(());
    }
    Err(errors::legacy(StatusCode::FORBIDDEN, "A video can have 20 tags at most.").into())
}

fn word(request: &ApiRequest) -> &str {
    request.parameter("word").unwrap_or_default()
}

fn find<'a>(video: &'a Video, name: &str) -> Option<&'a String> {
    let canonical = canonical_tag(name);
    video.tags.iter().find(|tag| canonical_tag(tag) == canonical)
}

fn read_names(request: &ApiRequest) -> Result<Vec<String>, ErrorResponse> {
    let invalid = || invalid_field("tags", 2204, "must be a list of names, or of objects with a name");
    match request.json()? {
        Value::Array(items) => {
            let name = |item: &Value| match item {
                Value::String(name) => checked(name),
                Value::Object(members) => {
                    checked(members.get("name").and_then(Value::as_str).ok_or_else(invalid)?)
                }
                _ => Err(invalid()),
            };
            items.iter().map(name).collect()
        }
        _ => Err(invalid()),
    }
}

/// A name without surrounding spaces, which has a letter or a digit.
fn checked(name: &str) -> Result<String, ErrorResponse> {
    if canonical_tag(name).is_empty() {
        return Err(invalid_field("name", 2204, "must have a letter or a digit"));
    }
    Ok(name.trim().to_owned())
}

/// The JSON of a tag.
pub(super) fn present(name: &str) -> Value {
    let canonical = canonical_tag(name);
    let uri = format!("/tags/{canonical}");
    json!({
        "uri": uri,
        "name": name,
        "tag": name,
        "canonical": canonical,
        "resource_key": format!("{:0>40}", ""),
        "metadata": {"connections": {"videos": {"uri": format!("{uri}/videos"), "options": ["GET"], "total": 1}}},
    })
}
