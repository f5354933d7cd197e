//! Thumbnails of a video: the automatic one, frames of the video, and images that are sent to a link.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::own_video;
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, invalid_field};
use crate::app_state::AppState;
use crate::body_members::boolean;
use crate::errors::{self, no_content};
use crate::lists;
use crate::state::{Feature, Picture, PictureActivity, Video, VideoId, VimeoState};
use crate::uploads::files;

const PICTURE: &str = "application/vnd.vimeo.picture+json";

/// `POST /videos/{video}/pictures`: with `{"time": seconds, "active"?}` a frame of the video; without a time an inactive
/// thumbnail whose image is then sent to its `link`.
pub(crate) async fn create_picture(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_for("upload", Feature::Thumbnails)?;
    let id = request.video()?;
    let members = request.members()?;
    let mut vimeo_state = app_state.vimeo_now();
    own_video(&vimeo_state, &request)?;
    let number = match members.get("time") {
        Some(time) => {
            let at_millis = read_time(time)?;
            vimeo_state.add_picture(id, at_millis, boolean(&members, "active")?.unwrap_or(false))
        }
        None => vimeo_state.add_image(id),
    };
    let video = vimeo_state.find_video(id).ok_or_else(errors::missing_resource)?;
    let picture = number.and_then(|number| video.picture(number)).ok_or_else(errors::missing_resource)?;
    let mut shown = present(video, Shown::Added(picture), processed_until(&app_state, &vimeo_state));
    if let (Value::Object(members), Some(image)) = (&mut shown, &picture.image) {
        // Only this response has it.
        let link = files::link(&app_state, files::PICTURE_ROUTE, &image.link);
        members.insert("link".to_owned(), json!(link));
    }
    drop(vimeo_state);
    Ok(request.present(StatusCode::CREATED, PICTURE, shown))
}

/// Milliseconds from the beginning of the video.
fn read_time(time: &Value) -> Result<u64, ErrorResponse> {
    let seconds = match time {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    // A video may last a day at most.
    let seconds = seconds.filter(|seconds| (0.0..=86_400.0).contains(seconds));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 86,400,000"
    )]
    let millis = seconds.map(|seconds| (seconds * 1000.0).round() as u64);
    millis.ok_or_else(|| invalid_field("time", 2204, "must be seconds from the beginning, at most 86400"))
}

/// `GET /videos/{video}/pictures`.
pub(crate) async fn list_pictures(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user()?;
    let vimeo_state = app_state.vimeo_now();
    let video = own_video(&vimeo_state, &request)?;
    let until = processed_until(&app_state, &vimeo_state);
    let automatic = video.has_automatic_picture().then_some(Shown::Automatic);
    let pictures: Vec<Shown<'_>> =
        automatic.into_iter().chain(video.pictures.iter().map(Shown::Added)).collect();
    lists::answer(&request, pictures, |picture, _| present(video, picture, until))
}

/// `GET /videos/{video}/pictures/{picture}`.
pub(crate) async fn show_picture(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user()?;
    let number = request.number("picture")?;
    let vimeo_state = app_state.vimeo_now();
    let video = own_video(&vimeo_state, &request)?;
    let shown = present(video, find(video, number)?, processed_until(&app_state, &vimeo_state));
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, PICTURE, shown))
}

/// `PATCH /videos/{video}/pictures/{picture}` with `{"active": true}`.
pub(crate) async fn edit_picture(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_for("edit", Feature::Thumbnails)?;
    let (id, number) = (request.video()?, request.number("picture")?);
    let activity = read_activity(&request.members()?)?;
    let mut vimeo_state = app_state.vimeo_now();
    let found = find(own_video(&vimeo_state, &request)?, number)?;
    if activity == Some(PictureActivity::Active) && found.is_empty() {
        return Err(invalid_field("active", 2204, "needs an image, and none has arrived"));
    }
    let is_automatic = matches!(found, Shown::Automatic);
    vimeo_state.edit_video(id, |video| match activity {
        Some(PictureActivity::Active) if is_automatic => {
            video.pictures.iter_mut().for_each(|picture| picture.is_active = false);
        }
        Some(activity) => {
            video.edit_picture(number, activity);
        }
        None => {}
    });
    let video = vimeo_state.find_video(id).ok_or_else(errors::missing_resource)?;
    let shown = present(video, find(video, number)?, processed_until(&app_state, &vimeo_state));
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, PICTURE, shown))
}

fn read_activity(members: &Map<String, Value>) -> Result<Option<PictureActivity>, ErrorResponse> {
    let active = boolean(members, "active")?;
    Ok(active.map(|active| if active { PictureActivity::Active } else { PictureActivity::Inactive }))
}

/// `DELETE /videos/{video}/pictures/{picture}`: any but the automatic one.
pub(crate) async fn delete_picture(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("delete")?;
    let (id, number) = (request.video()?, request.number("picture")?);
    let mut vimeo_state = app_state.vimeo_now();
    if let Shown::Automatic = find(own_video(&vimeo_state, &request)?, number)? {
        let text = "The default picture of a video cannot be deleted.";
        return Err(errors::legacy(StatusCode::FORBIDDEN, text).into());
    }
    vimeo_state.edit_video(id, |video| video.pictures.retain(|picture| picture.number != number));
    Ok(no_content())
}

/// A thumbnail as responses show it.
#[derive(Clone, Copy)]
enum Shown<'a> {
    /// The one that Vimeo makes of a video that can be played. It has the video's number, which no other picture has.
    Automatic,
    Added(&'a Picture),
}

impl Shown<'_> {
    fn is_empty(self) -> bool {
        matches!(self, Self::Added(picture) if picture.image.as_ref().is_some_and(|image| image.file.is_none()))
    }
}

fn find(video: &Video, number: u64) -> Result<Shown<'_>, ErrorResponse> {
    if video.has_automatic_picture() && number == video.id.number() {
        return Ok(Shown::Automatic);
    }
    video.picture(number).map(Shown::Added).ok_or_else(|| errors::missing_resource().into())
}

/// The latest arrival of an image that has been processed by now.
pub(super) fn processed_until(app_state: &AppState, vimeo_state: &VimeoState) -> Timestamp {
    vimeo_state.settings.processed_until(app_state.now())
}

fn present(video: &Video, picture: Shown<'_>, processed_until: Timestamp) -> Value {
    match picture {
        Shown::Automatic => {
            let is_active = !video.pictures.iter().any(|picture| picture.is_shown_active(processed_until));
            with_addresses(
                (video.id, video.id.number()),
                json!({"active": is_active, "type": "default", "default_picture": true}),
            )
        }
        Shown::Added(picture) => {
            let mut shown = with_addresses(
                (video.id, picture.number),
                json!({
                    "active": picture.is_shown_active(processed_until),
                    "type": "custom",
                    "default_picture": false,
                }),
            );
            if let (Value::Object(members), None) = (&mut shown, &picture.image) {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "at most 86,400,000, which a float holds exactly"
                )]
                members.insert("time".to_owned(), json!(picture.at_millis as f64 / 1000.0));
            }
            shown
        }
    }
}

/// The members that depend on the number only.
fn with_addresses((video, number): (VideoId, u64), mut shown: Value) -> Value {
    let base = format!("https://i.vimeocdn.com/video/{number}");
    if let Value::Object(members) = &mut shown {
        members.insert("uri".to_owned(), json!(format!("{video}/pictures/{number}")));
        members.insert("base_link".to_owned(), json!(base));
        let size = json!({"width": 1920, "height": 1080, "link": format!("{base}_1920x1080")});
        members.insert("sizes".to_owned(), json!([size]));
        members.insert("resource_key".to_owned(), json!(format!("{number:040x}")));
    }
    shown
}

/// The `pictures` of a video: its current thumbnail.
pub(super) fn present_current(video: &Video, processed_until: Timestamp) -> Value {
    let active = video.pictures.iter().find(|picture| picture.is_shown_active(processed_until));
    let automatic = || video.has_automatic_picture().then(|| video.id.number());
    let number = active.map(|picture| picture.number).or_else(automatic);
    json!({
        "uri": number.map(|number| format!("{}/pictures/{number}", video.id)),
        "active": number.is_some(),
        "type": if active.is_some() { "custom" } else { "default" },
        "base_link": "https://i.vimeocdn.com/video/default",
        "sizes": [{"width": 295, "height": 166, "link": "https://i.vimeocdn.com/video/default_295x166"}],
        "default_picture": active.is_none(),
    })
}
