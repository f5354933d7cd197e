//! Showcases and the videos in them. Vimeo's addresses call them albums.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ambient::iso_8601;
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, PathOwner, invalid_field};
use crate::app_state::AppState;
use crate::body_members::{required_text, text};
use crate::errors::{self, no_content};
use crate::limits::Plan;
use crate::lists::{self, Items};
use crate::state::{Feature, Order, Showcase, ShowcaseId, User, VideoId, VimeoState};
use crate::users;
use crate::videos;

const SHOWCASE: &str = "application/vnd.vimeo.album+json";
const NAME_CHARACTERS_MAX: usize = 128;

/// `GET /me/albums`, with `query`, `sort` and `direction`.
pub(crate) async fn list(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let user = reader(&request)?;
    let vimeo_state = app_state.vimeo();
    let wanted = request.parameter_of_query("query").map(|query| query.to_lowercase());
    let found = vimeo_state.list_showcases().filter(|showcase| {
        showcase.owner == user.id
            && wanted.as_ref().is_none_or(|wanted| showcase.name.to_lowercase().contains(wanted))
    });
    lists::answer(&request, in_order(&request, found.collect()), |showcase, _| {
        present(&app_state, &vimeo_state, showcase)
    })
}

/// `POST /me/albums` with `{"name", "description"?}`. Several showcases may have the same name.
pub(crate) async fn create(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let user = writer(&request, "create")?;
    let members = request.members_of_some()?;
    let (name, description) = (read_name(&required_text(&members, "name")?)?, text(&members, "description")?);
    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo();
    let id = vimeo_state.add_showcase(user.id, name, now);
    if let Some(showcase) = vimeo_state.find_showcase_mut(id) {
        showcase.description = description;
    }
    let shown = present(&app_state, &vimeo_state, own_showcase(&vimeo_state, user, id)?);
    drop(vimeo_state);
    Ok(request.present(StatusCode::CREATED, SHOWCASE, shown))
}

/// `GET /me/albums/{album}`.
pub(crate) async fn show(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (user, id) = (reader(&request)?, showcase_id(&request)?);
    let vimeo_state = app_state.vimeo();
    let shown = present(&app_state, &vimeo_state, own_showcase(&vimeo_state, user, id)?);
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, SHOWCASE, shown))
}

/// `PATCH /me/albums/{album}` with `name`, `description` or both.
pub(crate) async fn edit(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (user, id) = (writer(&request, "edit")?, showcase_id(&request)?);
    let members = request.members_of_some()?;
    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo();
    let mut showcase = own_showcase(&vimeo_state, user, id)?.clone();
    if members.contains_key("name") {
        showcase.name = read_name(&required_text(&members, "name")?)?;
    }
    if members.contains_key("description") {
        showcase.description = text(&members, "description")?;
    }
    showcase.modified_at = now;
    let shown = present(&app_state, &vimeo_state, &showcase);
    if let Some(kept) = vimeo_state.find_showcase_mut(id) {
        *kept = showcase;
    }
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, SHOWCASE, shown))
}

/// `DELETE /me/albums/{album}`. Its videos are kept.
pub(crate) async fn delete(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (user, id) = (writer(&request, "edit")?, showcase_id(&request)?);
    let mut vimeo_state = app_state.vimeo();
    own_showcase(&vimeo_state, user, id)?;
    vimeo_state.remove_showcase(id);
    Ok(no_content())
}

/// `GET /me/albums/{album}/videos`, in the order in which they were added.
pub(crate) async fn list_videos(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let (user, id) = (reader(&request)?, showcase_id(&request)?);
    let vimeo_state = app_state.vimeo_now();
    let ids = own_showcase(&vimeo_state, user, id)?.videos.clone();
    let items: Items<'_, VideoId> = ids.into();
    lists::answer(&request, items, |id, fields| {
        videos::present_in_list(&app_state, &vimeo_state, &request, id, fields)
    })
}

/// `PUT /me/albums/{album}/videos/{video}`. The video stays in its other showcases.
pub(crate) async fn put_video(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let now = app_state.now();
    change_video(&app_state, &request, |showcase, video| {
        if !showcase.videos.contains(&video) {
            showcase.videos.push(video);
            showcase.modified_at = now;
        }
        true
    })
}

/// `DELETE /me/albums/{album}/videos/{video}`. The video itself is kept.
pub(crate) async fn remove_video(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let now = app_state.now();
    change_video(&app_state, &request, |showcase, video| take_out(showcase, video, now))
}

/// Whether the video was in the showcase.
fn take_out(showcase: &mut Showcase, video: VideoId, now: Timestamp) -> bool {
    let before = showcase.videos.len();
    showcase.videos.retain(|member| *member != video);
    let was_in = showcase.videos.len() < before;
    if was_in {
        showcase.modified_at = now;
    }
    was_in
}

/// Changes a showcase of the caller by one of their videos; 404 if `change` returns false.
fn change_video(
    app_state: &AppState,
    request: &ApiRequest,
    change: impl FnOnce(&mut Showcase, VideoId) -> bool,
) -> HandlerResult {
    let (user, id) = (writer(request, "edit")?, showcase_id(request)?);
    let video = request.video()?;
    let mut vimeo_state = app_state.vimeo();
    own_showcase(&vimeo_state, user, id)?;
    videos::find_own(&vimeo_state, request.caller()?, video, request.video_hash())?;
    let is_changed = vimeo_state.find_showcase_mut(id).is_some_and(|showcase| change(showcase, video));
    if is_changed { Ok(no_content()) } else { Err(errors::missing_resource().into()) }
}

/// The caller who reads their own showcases.
fn reader(request: &ApiRequest) -> Result<&User, ErrorResponse> {
    let (_, user) = request.user_with("private")?;
    owned(request, user)
}

/// The caller who changes their own showcases.
fn writer<'a>(request: &'a ApiRequest, scope: &str) -> Result<&'a User, ErrorResponse> {
    let (_, user) = request.user_for(scope, Feature::Showcases)?;
    owned(request, user)
}

fn owned<'a>(request: &ApiRequest, user: &'a User) -> Result<&'a User, ErrorResponse> {
    match request.owner(user)? {
        PathOwner::Caller => Ok(user),
        PathOwner::Other(_) => Err(errors::not_owned().into()),
    }
}

fn showcase_id(request: &ApiRequest) -> Result<ShowcaseId, ErrorResponse> {
    let found = request.parameter("album").and_then(ShowcaseId::parse);
    found.ok_or_else(|| errors::missing_resource().into())
}

fn own_showcase<'a>(
    vimeo_state: &'a VimeoState,
    user: &User,
    id: ShowcaseId,
) -> Result<&'a Showcase, ErrorResponse> {
    let found = vimeo_state.find_showcase(id).filter(|showcase| showcase.owner == user.id);
    found.ok_or_else(|| errors::missing_resource().into())
}

fn read_name(name: &str) -> Result<String, ErrorResponse> {
    if name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(invalid_field("name", 2204, "has more than 128 characters"));
    }
    Ok(name.to_owned())
}

fn in_order<'a>(request: &ApiRequest, mut showcases: Vec<&'a Showcase>) -> Vec<&'a Showcase> {
    let (order, direction) = lists::order(request);
    match order {
        Order::Date => lists::sort(&mut showcases, direction, |found| (found.created_at, found.id)),
        Order::Modified => lists::sort(&mut showcases, direction, |found| (found.modified_at, found.id)),
        Order::Alphabetical => {
            lists::sort(&mut showcases, direction, |found| (found.name.to_lowercase(), found.id));
        }
    }
    showcases
}

fn present(app_state: &AppState, vimeo_state: &VimeoState, showcase: &Showcase) -> Value {
    let (uri, number) = (showcase.uri(), showcase.id.number());
    let plan = |user: &User| user.plan.or(app_state.plan).unwrap_or(Plan::Enterprise);
    let owner = vimeo_state.find_user(showcase.owner).map(|user| users::present_public(user, plan(user)));
    json!({
        "uri": uri,
        "name": showcase.name,
        "description": showcase.description,
        "link": format!("https://vimeo.com/showcase/{number}"),
        "created_time": iso_8601(showcase.created_at),
        "modified_time": iso_8601(showcase.modified_at),
        "resource_key": showcase.resource_key,
        "privacy": {"view": "anybody"},
        "sort": "added_last",
        "user": owner,
        "metadata": {
            "connections": {
                "videos": {"uri": format!("{uri}/videos"), "options": ["GET"], "total": showcase.videos.len()},
            },
            "interactions": {
                "add_videos": {"uri": format!("{uri}/videos/"), "options": ["PUT"]},
            },
        },
    })
}
