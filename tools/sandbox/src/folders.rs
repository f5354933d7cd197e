//! Folders, under both of their names, and the videos in them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::ambient::iso_8601;
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, PathOwner, invalid_field};
use crate::app_state::AppState;
use crate::errors::{self, no_content};
use crate::fields::Fields;
use crate::limits::Plan;
use crate::lists::{self, Items};
use crate::state::{Caller, Clips, Folder, FolderId, Order, User, UserId, VideoId, VimeoState};
use crate::uploads;
use crate::users;
use crate::videos;

const FOLDER: &str = "application/vnd.vimeo.project+json";
const NAME_CHARACTERS_MAX: usize = 128;

/// Whether a request reads or changes folders.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// An item of a folder.
enum FolderItem<'a> {
    Folder(&'a Folder),
    Video(VideoId),
}

/// `GET /me/projects`.
pub(crate) async fn list(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (_, user) = member(&request, "private", Access::Read)?;
    let vimeo_state = app_state.vimeo();
    let wanted = request.parameter_of_query("query").map(|query| query.to_lowercase());
    let folders = vimeo_state.list_folders().filter(|folder| {
        folder.owner == user.id
            && wanted.as_ref().is_none_or(|wanted| folder.name.to_lowercase().contains(wanted))
    });
    lists::answer(&request, in_order(&request, folders.collect()), |folder, _| {
        present(&app_state, &vimeo_state, folder)
    })
}

/// `POST /me/projects` with `{"name", "parent_folder_uri"?}`.
pub(crate) async fn create(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (_, user) = member(&request, "create", Access::Write)?;
    let members = request.members_of_some()?;
    let name = read_name(&members)?.ok_or_else(|| invalid_field("name", 2249, "is missing"))?;
    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo();
    let parent = match members.get("parent_folder_uri") {
        None | Some(Value::Null) => None,
        Some(Value::String(uri)) => Some(find_by_uri(&vimeo_state, user, uri)?),
        Some(_) => return Err(invalid_field("parent_folder_uri", 2204, "must be a string")),
    };
    let id = vimeo_state.add_folder(user.id, name, parent, now).id;
    let folder = vimeo_state.find_folder(id).ok_or_else(errors::missing_folder)?;
    let shown = present(&app_state, &vimeo_state, folder);
    drop(vimeo_state);
    Ok(request.present(StatusCode::CREATED, FOLDER, shown))
}

/// `GET /me/projects/{folder}`.
pub(crate) async fn show(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (_, user) = member(&request, "private", Access::Read)?;
    let id = request.folder()?;
    let vimeo_state = app_state.vimeo();
    let shown = present(&app_state, &vimeo_state, own_folder(&vimeo_state, user, id)?);
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, FOLDER, shown))
}

/// `PATCH /me/projects/{folder}` with `{"name"}`.
pub(crate) async fn edit(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (_, user) = member(&request, "edit", Access::Write)?;
    let id = request.folder()?;
    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo();
    own_folder(&vimeo_state, user, id)?;
    let members = request.members_of_some()?;
    let name = read_name(&members)?.ok_or_else(|| invalid_field("name", 2249, "is missing"))?;
    if let Some(folder) = vimeo_state.find_folder_mut(id) {
        (folder.name, folder.modified_at) = (name, now);
    }
    let shown = present(&app_state, &vimeo_state, own_folder(&vimeo_state, user, id)?);
    drop(vimeo_state);
    Ok(request.present(StatusCode::OK, FOLDER, shown))
}

/// `DELETE /me/projects/{folder}`, with its videos if `should_delete_clips` is set. Its subfolders are deleted too.
pub(crate) async fn delete(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (_, user) = member(&request, "delete", Access::Write)?;
    let id = request.folder()?;
    let clips = match request.parameter_of_query("should_delete_clips").as_deref() {
        Some("true" | "1") => Clips::Delete,
        _ => Clips::Keep,
    };
    let mut vimeo_state = app_state.vimeo();
    own_folder(&vimeo_state, user, id)?;
    let orphans = vimeo_state.remove_folder(id, clips);
    uploads::remove(&app_state, vimeo_state, &orphans);
    Ok(no_content())
}

/// `GET /me/projects/{folder}/videos`.
pub(crate) async fn list_videos(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let (_, user) = member(&request, "private", Access::Read)?;
    let id = request.folder()?;
    let vimeo_state = app_state.vimeo_now();
    own_folder(&vimeo_state, user, id)?;
    let ids = videos::visible_ids(&app_state, &vimeo_state, &request, vimeo_state.videos_in(id))?;
    lists::answer(&request, ids, |id, fields| {
        videos::present_in_list(&app_state, &vimeo_state, &request, id, fields)
    })
}

/// `GET /me/projects/{folder}/items`: its subfolders, then its videos.
pub(crate) async fn list_items(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (_, user) = member(&request, "private", Access::Read)?;
    let id = request.folder()?;
    let vimeo_state = app_state.vimeo_now();
    own_folder(&vimeo_state, user, id)?;
    let below = vimeo_state.list_folders().filter(|folder| folder.parent == Some(id)).collect();
    let folders = in_order(&request, below);
    let videos = videos::visible_ids(&app_state, &vimeo_state, &request, vimeo_state.videos_in(id))?;
    let total = folders.len() + videos.total;
    let items = folders.into_iter().map(FolderItem::Folder).chain(videos.items.map(FolderItem::Video));
    lists::answer(&request, Items { total, items: Box::new(items) }, |item, _| match item {
        FolderItem::Folder(folder) => {
            json!({"type": "folder", "folder": present(&app_state, &vimeo_state, folder)})
        }
        FolderItem::Video(id) => {
            json!({"type": "video", "video": videos::present_in_list(&app_state, &vimeo_state, &request, id, &Fields::all())})
        }
    })
}

/// `GET /me/projects/{folder}/folders`: its subfolders.
pub(crate) async fn list_subfolders(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let (_, user) = member(&request, "private", Access::Read)?;
    let id = request.folder()?;
    let vimeo_state = app_state.vimeo();
    own_folder(&vimeo_state, user, id)?;
    let below = vimeo_state.list_folders().filter(|folder| folder.parent == Some(id)).collect();
    lists::answer(&request, in_order(&request, below), |folder, _| present(&app_state, &vimeo_state, folder))
}

/// `PUT /me/projects/{folder}/videos/{video}`. Moves the video out of its previous folder.
pub(crate) async fn put_video(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (caller, user) = member(&request, "interact", Access::Write)?;
    let (id, video) = (request.folder()?, named_video(&request)?);
    let mut vimeo_state = app_state.vimeo();
    own_folder(&vimeo_state, user, id)?;
    place(&mut vimeo_state, caller, &[video], Some(id))?;
    Ok(no_content())
}

/// `DELETE /me/projects/{folder}/videos/{video}`. The video itself is kept.
pub(crate) async fn remove_video(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let (caller, user) = member(&request, "delete", Access::Write)?;
    let (id, video) = (request.folder()?, named_video(&request)?);
    let mut vimeo_state = app_state.vimeo();
    own_folder(&vimeo_state, user, id)?;
    take_out(&mut vimeo_state, caller, &[video], id)?;
    Ok(no_content())
}

/// `PUT /me/projects/{folder}/videos?uris=/videos/1,/videos/2`: all of them or none.
pub(crate) async fn put_videos(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (caller, user) = member(&request, "interact", Access::Write)?;
    let (id, videos) = (request.folder()?, read_uris(&request)?);
    let mut vimeo_state = app_state.vimeo();
    own_folder(&vimeo_state, user, id)?;
    place(&mut vimeo_state, caller, &videos, Some(id))?;
    Ok(no_content())
}

/// `DELETE /me/projects/{folder}/videos?uris=/videos/1,/videos/2`: all of them or none.
pub(crate) async fn remove_videos(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let (caller, user) = member(&request, "interact", Access::Write)?;
    let (id, videos) = (request.folder()?, read_uris(&request)?);
    let mut vimeo_state = app_state.vimeo();
    own_folder(&vimeo_state, user, id)?;
    take_out(&mut vimeo_state, caller, &videos, id)?;
    Ok(no_content())
}

/// The folder that a URI names, in any of the forms in use.
pub(crate) fn find_by_uri(
    vimeo_state: &VimeoState,
    user: &User,
    uri: &str,
) -> Result<FolderId, ErrorResponse> {
    let parts: Vec<&str> = uri.trim_start_matches('/').split('/').collect();
    let (whose, kind, number) = match parts.as_slice() {
        ["me", kind, number] | [kind, number] => (Some(user.id), *kind, *number),
        ["users", owner, kind, number] => (UserId::parse(owner), *kind, *number),
        _ => return Err(errors::missing_folder().into()),
    };
    let id = FolderId::parse(number).filter(|_| matches!(kind, "folders" | "projects"));
    match id {
        Some(id) if whose == Some(user.id) => own_folder(vimeo_state, user, id).map(|folder| folder.id),
        _ => Err(errors::missing_folder().into()),
    }
}

/// The JSON of a folder.
pub(crate) fn present(app_state: &AppState, vimeo_state: &VimeoState, folder: &Folder) -> Value {
    let uri = folder.uri();
    let videos = vimeo_state.videos_in(folder.id).len();
    let folders = vimeo_state.list_folders().filter(|below| below.parent == Some(folder.id)).count();
    let plan = |user: &User| user.plan.or(app_state.plan).unwrap_or(Plan::Enterprise);
    let owner = vimeo_state.find_user(folder.owner).map(|user| users::present_public(user, plan(user)));
    let connection = |path: &str, total: usize| json!({"uri": format!("{uri}/{path}"), "options": ["GET"], "total": total});
    let parent = folder.parent.and_then(|id| vimeo_state.find_folder(id));
    let parent = parent.map(|parent| json!({"uri": parent.uri(), "options": ["GET"]}));
    json!({
        "uri": uri,
        "name": folder.name,
        "created_time": iso_8601(folder.created_at),
        "modified_time": iso_8601(folder.modified_at),
        "last_user_action_event_date": iso_8601(folder.modified_at),
        "resource_key": folder.resource_key,
        "link": format!("https://vimeo.com/user{}/folder/{}", folder.owner.number(), folder.id.number()),
        "manage_link": format!("/manage/folders/{}", folder.id.number()),
        "privacy": {"view": "nobody"},
        "user": owner,
        "metadata": {"connections": {
            "videos": connection("videos", videos),
            "items": connection("items", videos + folders),
            "folders": connection("folders", folders),
            "parent_folder": parent,
        }},
    })
}

/// The caller of a folder endpoint. These endpoints have their own code for invalid credentials.
fn member<'a>(
    request: &'a ApiRequest,
    scope: &str,
    access: Access,
) -> Result<(&'a Caller, &'a User), ErrorResponse> {
    if request.caller.is_none() {
        return Err(errors::bad_credentials().into());
    }
    let (caller, user) = request.user_with(scope)?;
    if let PathOwner::Other(_) = request.owner(user)? {
        return Err(errors::missing_folder().into());
    }
    if access == Access::Write && !user.may_manage_folders {
        let text = "The user is not allowed to create, edit or delete folders.";
        return Err(errors::full(StatusCode::FORBIDDEN, 3200, text, text).into());
    }
    Ok((caller, user))
}

fn own_folder<'a>(
    vimeo_state: &'a VimeoState,
    user: &User,
    id: FolderId,
) -> Result<&'a Folder, ErrorResponse> {
    let found = vimeo_state.find_folder(id).filter(|folder| folder.owner == user.id);
    found.ok_or_else(|| errors::missing_folder().into())
}

fn in_order<'a>(request: &ApiRequest, mut folders: Vec<&'a Folder>) -> Vec<&'a Folder> {
    let (order, direction) = lists::order(request);
    match order {
        Order::Date => lists::sort(&mut folders, direction, |folder| (folder.created_at, folder.id)),
        Order::Modified => lists::sort(&mut folders, direction, |folder| (folder.modified_at, folder.id)),
        Order::Alphabetical => {
            lists::sort(&mut folders, direction, |folder| (folder.name.to_lowercase(), folder.id));
        }
    }
    folders
}

/// A video, and the hash in its URI if there is one.
type Named = (VideoId, Option<String>);

fn named_video(request: &ApiRequest) -> Result<Named, ErrorResponse> {
    Ok((request.video()?, request.video_hash().map(str::to_owned)))
}

fn place(
    vimeo_state: &mut VimeoState,
    caller: &Caller,
    videos: &[Named],
    folder: Option<FolderId>,
) -> Result<(), ErrorResponse> {
    for (id, hash) in videos {
        videos::find_own(vimeo_state, caller, *id, hash.as_deref())?;
    }
    for (id, _) in videos {
        vimeo_state.edit_video(*id, |video| video.folder = folder);
    }
    Ok(())
}

fn take_out(
    vimeo_state: &mut VimeoState,
    caller: &Caller,
    videos: &[Named],
    folder: FolderId,
) -> Result<(), ErrorResponse> {
    for (id, hash) in videos {
        if videos::find_own(vimeo_state, caller, *id, hash.as_deref())?.folder != Some(folder) {
            return Err(errors::missing_resource().into());
        }
    }
    place(vimeo_state, caller, videos, None)
}

fn read_uris(request: &ApiRequest) -> Result<Vec<Named>, ErrorResponse> {
    let text = request.parameter_of_query("uris").unwrap_or_default();
    let uris = text.split(',').map(str::trim).filter(|uri| !uri.is_empty());
    let named = uris.map(|uri| {
        let (id, hash) = VideoId::parse_named(uri.strip_prefix("/videos/")?)?;
        Some((id, hash.map(str::to_owned)))
    });
    let videos: Option<Vec<Named>> = named.collect();
    let videos = videos.filter(|videos| !videos.is_empty());
    videos.ok_or_else(|| invalid_field("uris", 2204, "must be URIs of videos, with commas between them"))
}

fn read_name(members: &Map<String, Value>) -> Result<Option<String>, ErrorResponse> {
    match members.get("name") {
        None => Ok(None),
        Some(Value::String(name)) if name.trim().is_empty() => {
            Err(invalid_field("name", 2249, "must not be empty"))
        }
        Some(Value::String(name)) if name.chars().count() > NAME_CHARACTERS_MAX => {
            Err(invalid_field("name", 2250, "has more than 128 characters"))
        }
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(_) => Err(invalid_field("name", 2249, "must be a string")),
    }
}
