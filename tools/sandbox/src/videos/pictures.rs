//! Thumbnails of a video, taken from a time in it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::own_video;
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, invalid_field};
use crate::app_state::AppState;
use crate::errors::{self, no_content};
use crate::lists;
use crate::state::{Picture, VideoId};

const PICTURE: &str = "application/vnd.vimeo.picture+json";

/// `POST /videos/{video}/pictures` with `{"time": seconds, "active"?}`. Custom images are not supported.
pub(crate) async fn create_picture(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("upload")?;
    let id = request.video()?;
    let members = request.members()?;
    let mut vimeo_state = app_state.vimeo();
    own_video(&vimeo_state, &request)?;
    let time = match members.get("time") {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    // A video may last a day at most.
    let millis = time.filter(|time| (0.0..=86_400.0).contains(time)).map(|time| (time * 1000.0).round());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 86,400,000"
    )]
    let Some(at_millis) = millis.map(|millis| millis as u64) else {
        return Err(invalid_field("time", 2204, "must be seconds from the beginning, at most 86400"));
    };
    let number = vimeo_state.add_picture(id, at_millis, read_active(&members)?.unwrap_or(false));
    let video = vimeo_state.find_video(id).ok_or_else(errors::missing_resource)?;
    let picture = video.pictures.iter().find(|picture| Some(picture.number) == number);
    let shown = present(id, picture.ok_or_else(errors::missing_resource)?);
    drop(vimeo_state);
    Ok(request.present(StatusCode::CREATED, PICTURE, shown))
}

/// `GET /videos/{video}/pictures`.
pub(crate) async fn list_pictures(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user()?;
    let id = request.video()?;
    let vimeo_state = app_state.vimeo();
    let pictures: Vec<&Picture> = own_video(&vimeo_state, &request)?.pictures.iter().collect();
    lists::answer(&request, pictures, |picture, _| present(id, picture))
}

/// `GET /videos/{video}/pictures/{picture}`.
pub(crate) async fn show_picture(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user()?;
    let (id, number) = (request.video()?, picture_number(&request)?);
    let vimeo_state = app_state.vimeo();
    let video = own_video(&vimeo_state, &request)?;
    let picture = video.pictures.iter().find(|picture| picture.number == number);
    let shown = present(id, picture.ok_or_else(errors::missing_resource)?);
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, PICTURE, shown))
}

/// `PATCH /videos/{video}/pictures/{picture}` with `{"active": true}`.
pub(crate) async fn edit_picture(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("edit")?;
    let (id, number) = (request.video()?, picture_number(&request)?);
    let active = read_active(&request.members()?)?;
    let mut vimeo_state = app_state.vimeo();
    own_video(&vimeo_state, &request)?;
    let shown = vimeo_state.edit_video(id, |video| {
        if !video.pictures.iter().any(|picture| picture.number == number) {
            return None;
        }
        for picture in &mut video.pictures {
            match active {
                Some(active) if picture.number == number => picture.is_active = active,
                // A video has one active thumbnail.
                Some(true) => picture.is_active = false,
                _ => {}
            }
        }
        let picture = video.pictures.iter().find(|picture| picture.number == number)?;
        Some(present(id, picture))
    });
    let shown = shown.flatten().ok_or_else(errors::missing_resource)?;
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, PICTURE, shown))
}

/// `DELETE /videos/{video}/pictures/{picture}`.
pub(crate) async fn delete_picture(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("delete")?;
    let (id, number) = (request.video()?, picture_number(&request)?);
    let mut vimeo_state = app_state.vimeo();
    own_video(&vimeo_state, &request)?;
    let is_removed = vimeo_state.edit_video(id, |video| {
        let before = video.pictures.len();
        video.pictures.retain(|picture| picture.number != number);
        video.pictures.len() < before
    });
    if is_removed == Some(true) { Ok(no_content()) } else { Err(errors::missing_resource().into()) }
}

fn read_active(members: &serde_json::Map<String, Value>) -> Result<Option<bool>, ErrorResponse> {
    match members.get("active") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(active)) => Ok(Some(*active)),
        // One official client sends strings.
        Some(Value::String(text)) if text == "true" => Ok(Some(true)),
        Some(Value::String(text)) if text == "false" => Ok(Some(false)),
        Some(_) => Err(invalid_field("active", 2204, "must be true or false")),
    }
}

fn picture_number(request: &ApiRequest) -> Result<u64, ErrorResponse> {
    let found = request.parameter("picture").and_then(|text| text.parse().ok());
    found.ok_or_else(|| errors::missing_resource().into())
}

#[expect(clippy::cast_precision_loss, reason = "at most 86,400,000, which a float holds exactly")]
fn present(video: VideoId, picture: &Picture) -> Value {
    let number = picture.number;
    json!({
        "uri": format!("{video}/pictures/{number}"),
        "active": picture.is_active,
        "type": "custom",
        "time": picture.at_millis as f64 / 1000.0,
        "base_link": format!("https://i.vimeocdn.com/video/{number}"),
        "sizes": [{
            "width": 1920,
            "height": 1080,
            "link": format!("https://i.vimeocdn.com/video/{number}_1920x1080"),
        }],
        "resource_key": format!("{number:040x}"),
        "default_picture": false,
    })
}
