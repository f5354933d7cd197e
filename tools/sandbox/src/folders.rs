//! Folders, under both of their names, and which videos lie in them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::ambient::iso_8601;
use crate::ask::{Answered, Ask, Refusal, Whose, refuse};
use crate::desk::Desk;
use crate::errors::{self, no_content};
use crate::fields::Fields;
use crate::limits::Plan;
use crate::lists::{self, Items};
use crate::state::{Caller, Clips, Folder, FolderId, Order, User, UserId, VideoId, World};
use crate::uploads;
use crate::users;
use crate::videos;

const FOLDER: &str = "application/vnd.vimeo.project+json";
const NAME_CHARACTERS_MAX: usize = 128;

/// What a caller wants to do with folders.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Look,
    Change,
}

/// What a folder holds.
enum FolderItem<'a> {
    Folder(&'a Folder),
    Video(VideoId),
}

/// `GET /me/projects`.
pub(crate) async fn list(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = member(&ask, "private", Wish::Look)?;
    let world = desk.world();
    let wanted = ask.parameter_of_query("query").map(|query| query.to_lowercase());
    let folders = world.list_folders().filter(|folder| {
        folder.owner == user.id
            && wanted.as_ref().is_none_or(|wanted| folder.name.to_lowercase().contains(wanted))
    });
    lists::answer(&ask, in_order(&ask, folders.collect()), |folder, _| present(&desk, &world, folder))
}

/// `POST /me/projects` with `{"name", "parent_folder_uri"?}`.
pub(crate) async fn create(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = member(&ask, "create", Wish::Change)?;
    let members = ask.members_of_some()?;
    let name = read_name(&members)?.ok_or_else(|| refuse("name", 2249, "is missing"))?;
    let now = desk.now();
    let mut world = desk.world();
    let parent = match members.get("parent_folder_uri") {
        None | Some(Value::Null) => None,
        Some(Value::String(uri)) => Some(find_by_uri(&world, user, uri)?),
        Some(_) => return Err(refuse("parent_folder_uri", 2204, "must be a string")),
    };
    let id = world.add_folder(user.id, name, parent, now).id;
    let folder = world.find_folder(id).ok_or_else(errors::missing_folder)?;
    let shown = present(&desk, &world, folder);
    drop(world);
    Ok(ask.present(StatusCode::CREATED, FOLDER, shown))
}

/// `GET /me/projects/{folder}`.
pub(crate) async fn show(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = member(&ask, "private", Wish::Look)?;
    let id = ask.folder()?;
    let world = desk.world();
    let shown = present(&desk, &world, own_folder(&world, user, id)?);
    drop(world);
    Ok(ask.present(StatusCode::OK, FOLDER, shown))
}

/// `PATCH /me/projects/{folder}` with `{"name"}`.
pub(crate) async fn edit(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = member(&ask, "edit", Wish::Change)?;
    let id = ask.folder()?;
    let now = desk.now();
    let mut world = desk.world();
    own_folder(&world, user, id)?;
    let members = ask.members_of_some()?;
    let name = read_name(&members)?.ok_or_else(|| refuse("name", 2249, "is missing"))?;
    if let Some(folder) = world.find_folder_mut(id) {
        (folder.name, folder.modified_at) = (name, now);
    }
    let shown = present(&desk, &world, own_folder(&world, user, id)?);
    drop(world);
    Ok(ask.present(StatusCode::OK, FOLDER, shown))
}

/// `DELETE /me/projects/{folder}`, with its videos if `should_delete_clips` says so. Folders below it go with it.
pub(crate) async fn delete(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = member(&ask, "delete", Wish::Change)?;
    let id = ask.folder()?;
    let clips = match ask.parameter_of_query("should_delete_clips").as_deref() {
        Some("true" | "1") => Clips::Delete,
        _ => Clips::Keep,
    };
    let mut world = desk.world();
    own_folder(&world, user, id)?;
    let orphans = world.remove_folder(id, clips);
    uploads::forget(&desk, world, &orphans);
    Ok(no_content())
}

/// `GET /me/projects/{folder}/videos`.
pub(crate) async fn list_videos(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = member(&ask, "private", Wish::Look)?;
    let id = ask.folder()?;
    let world = desk.world_by_now();
    own_folder(&world, user, id)?;
    let ids = videos::visible_ids(&desk, &world, &ask, world.videos_in(id))?;
    lists::answer(&ask, ids, |id, fields| videos::present_in_list(&desk, &world, &ask, id, fields))
}

/// `GET /me/projects/{folder}/items`: the folders below it, then its videos.
pub(crate) async fn list_items(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = member(&ask, "private", Wish::Look)?;
    let id = ask.folder()?;
    let world = desk.world_by_now();
    own_folder(&world, user, id)?;
    let below = world.list_folders().filter(|folder| folder.parent == Some(id)).collect();
    let folders = in_order(&ask, below);
    let videos = videos::visible_ids(&desk, &world, &ask, world.videos_in(id))?;
    let total = folders.len() + videos.total;
    let items = folders.into_iter().map(FolderItem::Folder).chain(videos.items.map(FolderItem::Video));
    lists::answer(&ask, Items { total, items: Box::new(items) }, |item, _| match item {
        FolderItem::Folder(folder) => json!({"type": "folder", "folder": present(&desk, &world, folder)}),
        FolderItem::Video(id) => {
            json!({"type": "video", "video": videos::present_in_list(&desk, &world, &ask, id, &Fields::all())})
        }
    })
}

/// `GET /me/projects/{folder}/folders`: the folders below it.
pub(crate) async fn list_subfolders(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = member(&ask, "private", Wish::Look)?;
    let id = ask.folder()?;
    let world = desk.world();
    own_folder(&world, user, id)?;
    let below = world.list_folders().filter(|folder| folder.parent == Some(id)).collect();
    lists::answer(&ask, in_order(&ask, below), |folder, _| present(&desk, &world, folder))
}

/// `PUT /me/projects/{folder}/videos/{video}`. From whatever folder it was in, it goes into this one.
pub(crate) async fn put_video(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (caller, user) = member(&ask, "interact", Wish::Change)?;
    let (id, video) = (ask.folder()?, named_video(&ask)?);
    let mut world = desk.world();
    own_folder(&world, user, id)?;
    place(&mut world, caller, &[video], Some(id))?;
    Ok(no_content())
}

/// `DELETE /me/projects/{folder}/videos/{video}`. The video stays, outside.
pub(crate) async fn remove_video(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (caller, user) = member(&ask, "delete", Wish::Change)?;
    let (id, video) = (ask.folder()?, named_video(&ask)?);
    let mut world = desk.world();
    own_folder(&world, user, id)?;
    take_out(&mut world, caller, &[video], id)?;
    Ok(no_content())
}

/// `PUT /me/projects/{folder}/videos?uris=/videos/1,/videos/2`: all of them or none.
pub(crate) async fn put_videos(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (caller, user) = member(&ask, "interact", Wish::Change)?;
    let (id, videos) = (ask.folder()?, read_uris(&ask)?);
    let mut world = desk.world();
    own_folder(&world, user, id)?;
    place(&mut world, caller, &videos, Some(id))?;
    Ok(no_content())
}

/// `DELETE /me/projects/{folder}/videos?uris=/videos/1,/videos/2`: all of them or none.
pub(crate) async fn remove_videos(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (caller, user) = member(&ask, "interact", Wish::Change)?;
    let (id, videos) = (ask.folder()?, read_uris(&ask)?);
    let mut world = desk.world();
    own_folder(&world, user, id)?;
    take_out(&mut world, caller, &videos, id)?;
    Ok(no_content())
}

/// The folder that a URI names, in any of the spellings that are in use.
pub(crate) fn find_by_uri(world: &World, user: &User, uri: &str) -> Result<FolderId, Refusal> {
    let parts: Vec<&str> = uri.trim_start_matches('/').split('/').collect();
    let (whose, kind, number) = match parts.as_slice() {
        ["me", kind, number] | [kind, number] => (Some(user.id), *kind, *number),
        ["users", owner, kind, number] => (UserId::parse(owner), *kind, *number),
        _ => return Err(errors::missing_folder().into()),
    };
    let id = FolderId::parse(number).filter(|_| matches!(kind, "folders" | "projects"));
    match id {
        Some(id) if whose == Some(user.id) => own_folder(world, user, id).map(|folder| folder.id),
        _ => Err(errors::missing_folder().into()),
    }
}

/// A folder as Vimeo shows it.
pub(crate) fn present(desk: &Desk, world: &World, folder: &Folder) -> Value {
    let uri = folder.uri();
    let videos = world.videos_in(folder.id).len();
    let folders = world.list_folders().filter(|below| below.parent == Some(folder.id)).count();
    let plan = |user: &User| user.plan.or(desk.plan).unwrap_or(Plan::Enterprise);
    let owner = world.find_user(folder.owner).map(|user| users::present_public(user, plan(user)));
    let connection = |path: &str, total: usize| json!({"uri": format!("{uri}/{path}"), "options": ["GET"], "total": total});
    let parent = folder.parent.and_then(|id| world.find_folder(id));
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

/// Who asks about folders. Without good credentials these endpoints have a code of their own.
fn member<'a>(ask: &'a Ask, scope: &str, wish: Wish) -> Result<(&'a Caller, &'a User), Refusal> {
    if ask.caller.is_none() {
        return Err(errors::bad_credentials().into());
    }
    let (caller, user) = ask.user_with(scope)?;
    if let Whose::Others(_) = ask.owner(user)? {
        return Err(errors::missing_folder().into());
    }
    if wish == Wish::Change && !user.may_manage_folders {
        let text = "The user is not allowed to create, edit or delete folders.";
        return Err(errors::full(StatusCode::FORBIDDEN, 3200, text, text).into());
    }
    Ok((caller, user))
}

fn own_folder<'a>(world: &'a World, user: &User, id: FolderId) -> Result<&'a Folder, Refusal> {
    let found = world.find_folder(id).filter(|folder| folder.owner == user.id);
    found.ok_or_else(|| errors::missing_folder().into())
}

fn in_order<'a>(ask: &Ask, mut folders: Vec<&'a Folder>) -> Vec<&'a Folder> {
    let (order, direction) = lists::order(ask);
    match order {
        Order::Date => lists::sort(&mut folders, direction, |folder| (folder.created_at, folder.id)),
        Order::Modified => lists::sort(&mut folders, direction, |folder| (folder.modified_at, folder.id)),
        Order::Alphabetical => {
            lists::sort(&mut folders, direction, |folder| (folder.name.to_lowercase(), folder.id));
        }
    }
    folders
}

/// A video and the hash that it is named with, if it is.
type Named = (VideoId, Option<String>);

fn named_video(ask: &Ask) -> Result<Named, Refusal> {
    Ok((ask.video()?, ask.video_hash().map(str::to_owned)))
}

fn place(
    world: &mut World,
    caller: &Caller,
    videos: &[Named],
    folder: Option<FolderId>,
) -> Result<(), Refusal> {
    for (id, hash) in videos {
        videos::find_own(world, caller, *id, hash.as_deref())?;
    }
    for (id, _) in videos {
        world.edit_video(*id, |video| video.folder = folder);
    }
    Ok(())
}

fn take_out(world: &mut World, caller: &Caller, videos: &[Named], folder: FolderId) -> Result<(), Refusal> {
    for (id, hash) in videos {
        if videos::find_own(world, caller, *id, hash.as_deref())?.folder != Some(folder) {
            return Err(errors::missing_resource().into());
        }
    }
    place(world, caller, videos, None)
}

fn read_uris(ask: &Ask) -> Result<Vec<Named>, Refusal> {
    let text = ask.parameter_of_query("uris").unwrap_or_default();
    let uris = text.split(',').map(str::trim).filter(|uri| !uri.is_empty());
    let named = uris.map(|uri| {
        let (id, hash) = VideoId::parse_named(uri.strip_prefix("/videos/")?)?;
        Some((id, hash.map(str::to_owned)))
    });
    let videos: Option<Vec<Named>> = named.collect();
    let videos = videos.filter(|videos| !videos.is_empty());
    videos.ok_or_else(|| refuse("uris", 2204, "must be URIs of videos, with commas between them"))
}

fn read_name(members: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    match members.get("name") {
        None => Ok(None),
        Some(Value::String(name)) if name.trim().is_empty() => Err(refuse("name", 2249, "must not be empty")),
        Some(Value::String(name)) if name.chars().count() > NAME_CHARACTERS_MAX => {
            Err(refuse("name", 2250, "has more than 128 characters"))
        }
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(_) => Err(refuse("name", 2249, "must be a string")),
    }
}
