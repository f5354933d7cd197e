//! The control of settings that concern the whole sandbox.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::{error_response, json_response, members};
use crate::app_state::AppState;

const MEMBERS: [&str; 3] = ["empty_track_links", "playable_millis", "image_millis"];

/// `GET /_sandbox/settings`.
pub(super) async fn show(State(app_state): State<Arc<AppState>>) -> Response {
    let settings = app_state.vimeo().settings.clone();
    let shown = json!({
        "empty_track_links": settings.shows_links_of_empty_tracks,
        "playable_millis": settings.playable_millis,
        "image_millis": settings.image_millis,
    });
    json_response(StatusCode::OK, &shown)
}

/// `PATCH /_sandbox/settings`.
pub(super) async fn change(State(app_state): State<Arc<AppState>>, body: Body) -> Response {
    let read = members(body).await.and_then(|mut members| {
        members.refuse_unknown("a change of settings", &MEMBERS)?;
        Ok((
            members.boolean("empty_track_links")?,
            members.number_or_null("playable_millis")?,
            members.number("image_millis")?,
        ))
    });
    let (links, playable, image) = match read {
        Ok(read) => read,
        Err(sentence) => return error_response(StatusCode::BAD_REQUEST, &sentence),
    };
    {
        // What has happened until now followed the earlier settings.
        let mut vimeo_state = app_state.vimeo_now();
        let settings = &mut vimeo_state.settings;
        settings.shows_links_of_empty_tracks = links.unwrap_or(settings.shows_links_of_empty_tracks);
        settings.playable_millis = playable.unwrap_or(settings.playable_millis);
        settings.image_millis = image.unwrap_or(settings.image_millis);
    }
    show(State(app_state)).await
}
