//! Videos: made, shown, changed, listed and deleted.

mod create;
mod pictures;
mod present;
mod privacy;
mod settings;
mod versions;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use crate::ask::{Answered, Ask, Refusal, Whose};
use crate::desk::Desk;
use crate::errors;
use crate::fields::Fields;
use crate::lists::{self, Items};
use crate::state::{Caller, Direction, Order, User, UserId, Video, VideoId, VideoList, World};
use crate::uploads;
use settings::Asking;

pub(crate) use create::{FILE_BYTES_MAX, create};
pub(crate) use pictures::{create_picture, delete_picture, edit_picture, list_pictures, show_picture};
pub(crate) use present::{Audience, status, video as present};
pub(crate) use privacy::{
    add_domain, list_domains, list_presets, remove_domain, remove_preset, set_preset, show_preset,
    show_preset_of_video,
};
pub(crate) use versions::{create_version, delete_version, edit_version, list_versions, show_version};

const VIDEO: &str = "application/vnd.vimeo.video+json";

/// `GET /videos/{video}` and `GET /me/videos/{video}`.
pub(crate) async fn show(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let caller = ask.caller()?;
    let id = ask.video()?;
    let world = desk.world_by_now();
    let video = world.find_video(id).filter(|video| is_among(video, &ask));
    let video = video.filter(|video| is_visible(video, caller, ask.video_hash()));
    let video = video.ok_or_else(errors::missing_resource)?;
    let shown = present(&desk, &world, video, audience(video, caller), &ask.fields());
    drop(world);
    Ok(ask.present(StatusCode::OK, VIDEO, shown))
}

/// `GET /me/videos` and `GET /users/{user}/videos`.
pub(crate) async fn list(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let caller = ask.caller()?;
    let owner = match (ask.parameter("user"), &caller.user) {
        (Some(text), None) => UserId::parse(text).ok_or_else(errors::missing_resource)?,
        _ => match ask.user().and_then(|(_, user)| Ok((user.id, ask.owner(user)?)))? {
            (own, Whose::Own) => own,
            (_, Whose::Others(id)) => id,
        },
    };
    let world = desk.world_by_now();
    world.find_user(owner).ok_or_else(errors::missing_resource)?;
    let ids = visible_ids(&desk, &world, &ask, world.videos_of(owner))?;
    lists::answer(&ask, ids, |id, fields| present_in_list(&desk, &world, &ask, id, fields))
}

/// The videos of a list that the caller may see, in the order that was asked for. `videos` are those of one user.
///
/// The caller's own list is not read here: with the scope `private` they see all of it.
pub(crate) fn visible_ids<'a>(
    desk: &Desk,
    world: &World,
    ask: &Ask,
    videos: VideoList<'a>,
) -> Result<Items<'a, VideoId>, Refusal> {
    let caller = ask.caller()?;
    let wanted = ask.parameter_of_query("query").map(|query| query.to_lowercase());
    let newest = ask.list_lag.map(|lag| desk.now().checked_sub(lag).unwrap_or(Timestamp::MIN));
    let (order, direction) = lists::order(ask);
    let mut ids = videos.ids(order, direction);
    let is_filtered = wanted.is_some() || newest.is_some() || !sees_all(world, caller, videos);
    if !is_filtered {
        return Ok(Items { total: videos.len(), items: ids });
    }
    let mut visible = Vec::new();
    while let Some(video) = ids.next().and_then(|id| world.find_video(id)) {
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

/// Whether the caller owns these videos, which are of one user, and may see all of them.
fn sees_all(world: &World, caller: &Caller, videos: VideoList<'_>) -> bool {
    let first = videos.ids(Order::Date, Direction::Ascending).next().and_then(|id| world.find_video(id));
    caller.token.scopes.contains("private") && first.is_none_or(|video| is_own(video, caller))
}

/// A video of [`visible_ids`].
pub(crate) fn present_in_list(desk: &Desk, world: &World, ask: &Ask, id: VideoId, fields: &Fields) -> Value {
    let audience_of = |video| ask.caller.as_ref().map_or(Audience::Others, |caller| audience(video, caller));
    let video = world.find_video(id);
    video.map_or(Value::Null, |video| present(desk, world, video, audience_of(video), fields))
}

/// `PATCH /videos/{video}`.
pub(crate) async fn edit(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = ask.user_with("edit")?;
    let id = ask.video()?;
    let plan = desk.windows().plan(user);
    let now = desk.now();
    let mut world = desk.world_by_now();
    let mut settings = own_video(&world, &ask)?.settings.clone();
    settings::apply(&ask.members_of_some()?, &mut settings, Asking { user, plan })?;
    let missing = errors::missing_resource;
    world.edit_video(id, |video| (video.settings, video.modified_at) = (settings, now));
    let video = world.find_video(id).ok_or_else(missing)?;
    let shown = present(&desk, &world, video, Audience::Owner, &ask.fields());
    drop(world);
    Ok(ask.present(StatusCode::OK, VIDEO, shown))
}

/// `DELETE /videos/{video}`.
pub(crate) async fn delete(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    ask.user_with("delete")?;
    let id = ask.video()?;
    let mut world = desk.world();
    own_video(&world, &ask)?;
    let orphans = world.remove_video(id);
    uploads::forget(&desk, world, &orphans);
    Ok(errors::no_content())
}

/// The video that the path names, which must be the caller's own.
pub(crate) fn own_video<'a>(world: &'a World, ask: &Ask) -> Result<&'a Video, Refusal> {
    let id = ask.video()?;
    if world.find_video(id).is_some_and(|video| !is_among(video, ask)) {
        return Err(errors::missing_resource().into());
    }
    Ok(find_own(world, ask.caller()?, id, ask.video_hash())?)
}

/// Whether a video is one of those that the path speaks of: `/me/videos/…`, `/users/N/videos/…`, or anybody's.
fn is_among(video: &Video, ask: &Ask) -> bool {
    match ask.parameter("user") {
        Some(text) => UserId::parse(text) == Some(video.owner),
        None if ask.path.starts_with("/me/") => {
            ask.caller.as_ref().is_some_and(|caller| is_own(video, caller))
        }
        None => true,
    }
}

/// Why a video is not the caller's to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It is not there, or the caller may not even see it.
    Missing,
    /// Everybody may see it, and it is somebody else's.
    NotYours,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Missing => errors::missing_resource().into(),
            Denied::NotYours => errors::not_yours().into(),
        }
    }
}

/// Finds a video that the caller owns, named with or without its hash.
pub(crate) fn find_own<'a>(
    world: &'a World,
    caller: &Caller,
    id: VideoId,
    hash: Option<&str>,
) -> Result<&'a Video, Denied> {
    let video = world.find_video(id).filter(|video| is_reached(video, hash)).ok_or(Denied::Missing)?;
    if is_own(video, caller) {
        Ok(video)
    } else if is_visible(video, caller, hash) {
        Err(Denied::NotYours)
    } else {
        Err(Denied::Missing)
    }
}

fn is_own(video: &Video, caller: &Caller) -> bool {
    caller.user.as_ref().is_some_and(|user: &User| user.id == video.owner)
}

fn audience(video: &Video, caller: &Caller) -> Audience {
    if is_own(video, caller) { Audience::Owner } else { Audience::Others }
}

/// Whether a caller may know of a video. Their own that are not for everybody need the scope `private`.
fn is_visible(video: &Video, caller: &Caller, hash: Option<&str>) -> bool {
    let is_public = match video.settings.privacy.view.as_str() {
        "anybody" => true,
        "unlisted" => hash == Some(&video.hash),
        _ => false,
    };
    is_reached(video, hash)
        && (is_public || (is_own(video, caller) && caller.token.scopes.contains("private")))
}

/// A wrong hash leads nowhere, whosever video it is.
fn is_reached(video: &Video, hash: Option<&str>) -> bool {
    hash.is_none_or(|hash| hash == video.hash)
}
