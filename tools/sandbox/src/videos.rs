//! Videos: created, shown, changed, listed and deleted.

mod chapters;
mod create;
mod pictures;
mod present;
mod privacy;
mod settings;
mod tags;
mod text_tracks;
mod versions;
mod views;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, PathOwner};
use crate::app_state::AppState;
use crate::errors;
use crate::fields::Fields;
use crate::lists::{self, Items};
use crate::state::{Caller, Direction, Order, User, UserId, Video, VideoId, VideoList, VimeoState};
use crate::uploads;
use settings::EditContext;

pub(crate) use chapters::{create_chapter, delete_chapter, edit_chapter, list_chapters, show_chapter};
pub(crate) use create::{FILE_BYTES_MAX, create};
pub(crate) use pictures::{create_picture, delete_picture, edit_picture, list_pictures, show_picture};
pub(crate) use present::{Audience, status, video as present};
pub(crate) use privacy::{
    add_domain, list_domains, list_presets, remove_domain, remove_preset, set_preset, show_preset,
    show_preset_of_video,
};
pub(crate) use tags::{add_tag, add_tags, list_tags, remove_tag, show_tag};
pub(crate) use text_tracks::{
    create_text_track, delete_text_track, edit_text_track, list_text_tracks, show_text_track,
};
pub(crate) use versions::{create_version, delete_version, edit_version, list_versions, show_version};

const VIDEO: &str = "application/vnd.vimeo.video+json";

/// `GET /videos/{video}` and `GET /me/videos/{video}`.
pub(crate) async fn show(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let caller = request.caller()?;
    let id = request.video()?;
    let vimeo_state = app_state.vimeo_now();
    let video = vimeo_state.find_video(id).filter(|video| is_among(video, &request));
    let video = video.filter(|video| is_visible(video, caller, request.video_hash()));
    let video = video.ok_or_else(errors::missing_resource)?;
    let shown = present(&app_state, &vimeo_state, video, audience(video, caller), &request.fields());
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, VIDEO, shown))
}

/// `GET /me/videos` and `GET /users/{user}/videos`.
pub(crate) async fn list(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let caller = request.caller()?;
    let owner = match (request.parameter("user"), &caller.user) {
        (Some(text), None) => UserId::parse(text).ok_or_else(errors::missing_resource)?,
        _ => match request.user().and_then(|(_, user)| Ok((user.id, request.owner(user)?)))? {
            (own, PathOwner::Caller) => own,
            (_, PathOwner::Other(id)) => id,
        },
    };
    let vimeo_state = app_state.vimeo_now();
    vimeo_state.find_user(owner).ok_or_else(errors::missing_resource)?;
    let ids = visible_ids(&app_state, &vimeo_state, &request, vimeo_state.videos_of(owner))?;
    lists::answer(&request, ids, |id, fields| present_in_list(&app_state, &vimeo_state, &request, id, fields))
}

/// The videos of a list that the caller may see, in the requested order. `videos` are those of one user.
///
/// The caller's own list is not scanned: with the scope `private` all of it is visible.
pub(crate) fn visible_ids<'a>(
    app_state: &AppState,
    vimeo_state: &VimeoState,
    request: &ApiRequest,
    videos: VideoList<'a>,
) -> Result<Items<'a, VideoId>, ErrorResponse> {
    let caller = request.caller()?;
    let wanted = request.parameter_of_query("query").map(|query| query.to_lowercase());
    let newest = request.list_lag.map(|lag| app_state.now().checked_sub(lag).unwrap_or(Timestamp::MIN));
    let (order, direction) = lists::order(request);
    let mut ids = videos.ids(order, direction);
    let is_filtered = wanted.is_some() || newest.is_some() || !sees_all(vimeo_state, caller, videos);
    if !is_filtered {
        return Ok(Items { total: videos.len(), items: ids });
    }
    let mut visible = Vec::new();
    while let Some(video) = ids.next().and_then(|id| vimeo_state.find_video(id)) {
        // A list shows unlisted videos to their owner only.
        let is_listed = video.settings.privacy.view != "unlisted" || is_own(video, caller);
        let is_wanted =
            wanted.as_ref().is_none_or(|wanted| video.settings.name.to_lowercase().contains(wanted));
        let is_known = newest.is_none_or(|newest| video.created_at <= newest);
        if is_known && is_listed && is_wanted && is_visible(video, caller, None) {
            visible.push(video.id);
        }
    }
    Ok(visible.into())
}

/// Whether these videos, which belong to one user, are all visible as the caller's own.
fn sees_all(vimeo_state: &VimeoState, caller: &Caller, videos: VideoList<'_>) -> bool {
    let first =
        videos.ids(Order::Date, Direction::Ascending).next().and_then(|id| vimeo_state.find_video(id));
    caller.token.scopes.contains("private") && first.is_none_or(|video| is_own(video, caller))
}

/// A video of [`visible_ids`].
pub(crate) fn present_in_list(
    app_state: &AppState,
    vimeo_state: &VimeoState,
    request: &ApiRequest,
    id: VideoId,
    fields: &Fields,
) -> Value {
    let audience_of =
        |video| request.caller.as_ref().map_or(Audience::Others, |caller| audience(video, caller));
    let video = vimeo_state.find_video(id);
    video.map_or(Value::Null, |video| present(app_state, vimeo_state, video, audience_of(video), fields))
}

/// `PATCH /videos/{video}`.
pub(crate) async fn edit(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (_, user) = request.user_with("edit")?;
    let id = request.video()?;
    let plan = app_state.rate_limits().plan(user);
    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo_now();
    let mut settings = own_video(&vimeo_state, &request)?.settings.clone();
    settings::apply(&request.members_of_some()?, &mut settings, EditContext { user, plan })?;
    let missing = errors::missing_resource;
    vimeo_state.set_settings(id, settings, now);
    let video = vimeo_state.find_video(id).ok_or_else(missing)?;
    let shown = present(&app_state, &vimeo_state, video, Audience::Owner, &request.fields());
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, VIDEO, shown))
}

/// `DELETE /videos/{video}`.
pub(crate) async fn delete(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    request.user_with("delete")?;
    let id = request.video()?;
    let mut vimeo_state = app_state.vimeo();
    own_video(&vimeo_state, &request)?;
    let orphans = vimeo_state.remove_video(id);
    uploads::remove(&app_state, vimeo_state, &orphans);
    Ok(errors::no_content())
}

/// The video that the path names, which must be the caller's own.
pub(crate) fn own_video<'a>(
    vimeo_state: &'a VimeoState,
    request: &ApiRequest,
) -> Result<&'a Video, ErrorResponse> {
    let id = request.video()?;
    if vimeo_state.find_video(id).is_some_and(|video| !is_among(video, request)) {
        return Err(errors::missing_resource().into());
    }
    Ok(find_own(vimeo_state, request.caller()?, id, request.video_hash())?)
}

/// Whether the path may name a video: `/me/videos/…` and `/users/N/videos/…` name those of one user.
fn is_among(video: &Video, request: &ApiRequest) -> bool {
    match request.parameter("user") {
        Some(text) => UserId::parse(text) == Some(video.owner),
        None if request.path.starts_with("/me/") => {
            request.caller.as_ref().is_some_and(|caller| is_own(video, caller))
        }
        None => true,
    }
}

/// Why the caller may not change a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessError {
    /// It does not exist, or is not visible to the caller.
    Missing,
    /// It is visible, but belongs to another user.
    NotOwned,
}

impl From<AccessError> for ErrorResponse {
    fn from(denied: AccessError) -> Self {
        match denied {
            AccessError::Missing => errors::missing_resource().into(),
            AccessError::NotOwned => errors::not_owned().into(),
        }
    }
}

/// Finds a video of the caller, named with or without its hash.
pub(crate) fn find_own<'a>(
    vimeo_state: &'a VimeoState,
    caller: &Caller,
    id: VideoId,
    hash: Option<&str>,
) -> Result<&'a Video, AccessError> {
    let video =
        vimeo_state.find_video(id).filter(|video| is_reached(video, hash)).ok_or(AccessError::Missing)?;
    if is_own(video, caller) {
        Ok(video)
    } else if is_visible(video, caller, hash) {
        Err(AccessError::NotOwned)
    } else {
        Err(AccessError::Missing)
    }
}

fn is_own(video: &Video, caller: &Caller) -> bool {
    caller.user.as_ref().is_some_and(|user: &User| user.id == video.owner)
}

fn audience(video: &Video, caller: &Caller) -> Audience {
    if is_own(video, caller) { Audience::Owner } else { Audience::Others }
}

/// Whether a video is visible to a caller. Their own hidden videos need the scope `private`.
fn is_visible(video: &Video, caller: &Caller, hash: Option<&str>) -> bool {
    let is_public = match video.settings.privacy.view.as_str() {
        "anybody" => true,
        "unlisted" => hash == Some(&video.hash),
        _ => false,
    };
    is_reached(video, hash)
        && (is_public || (is_own(video, caller) && caller.token.scopes.contains("private")))
}

/// A wrong hash matches no video, regardless of its owner.
fn is_reached(video: &Video, hash: Option<&str>) -> bool {
    hash.is_none_or(|hash| hash == video.hash)
}
