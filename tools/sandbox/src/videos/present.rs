//! The JSON of videos and versions.

use serde_json::{Value, json};

use super::{pictures, tags, views};
use crate::UnlistedUris;
use crate::ambient::iso_8601;
use crate::app_state::AppState;
use crate::fields::Fields;
use crate::folders;
use crate::limits::Plan;
use crate::state::{Approach, Failure, Settings, Stage, Upload, User, Version, Video, VimeoState};
use crate::uploads;
use crate::users;

/// Who sees a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Owner,
    Others,
}

/// The wanted members of a video.
pub(crate) fn video(
    app_state: &AppState,
    vimeo_state: &VimeoState,
    video: &Video,
    audience: Audience,
    fields: &Fields,
) -> Value {
    let id = video.id.number();
    let settings = &video.settings;
    let upload = video.active_version().map(|version| &version.upload);
    let (width, height, seconds) = upload.map_or((400, 300, 0), shape);
    let (uri, link) = addresses(app_state, video);
    let player = format!("https://player.vimeo.com/video/{id}?h={}", video.hash);
    let mut shown = fields.object(&[
        ("uri", &|| json!(uri)),
        ("name", &|| json!(settings.name)),
        ("description", &|| json!(settings.description)),
        ("type", &|| json!("video")),
        ("link", &|| json!(link)),
        ("player_embed_url", &|| json!(player)),
        ("duration", &|| json!(seconds)),
        ("width", &|| json!(width)),
        ("height", &|| json!(height)),
        ("language", &|| json!(settings.locale)),
        ("embed", &|| embed(settings, &player, width, height)),
        ("created_time", &|| json!(iso_8601(video.created_at))),
        ("modified_time", &|| json!(iso_8601(video.modified_at))),
        ("release_time", &|| json!(iso_8601(video.created_at))),
        ("content_rating", &|| json!(settings.content_rating)),
        ("content_rating_class", &|| json!(rating_class(&settings.content_rating))),
        ("license", &|| json!(settings.license)),
        ("privacy", &|| privacy(settings)),
        ("pictures", &|| pictures::present_current(video, pictures::processed_until(app_state, vimeo_state))),
        ("tags", &|| json!(video.tags.iter().map(|tag| tags::present(tag)).collect::<Vec<_>>())),
        ("categories", &|| json!([])),
        ("stats", &|| json!({"plays": 0})),
        ("uploader", &|| json!({"pictures": {"uri": null, "active": false, "type": "default", "sizes": []}})),
        ("metadata", &|| metadata(video)),
        ("manage_link", &|| json!(format!("/manage/videos/{id}"))),
        ("user", &|| owner(app_state, vimeo_state, video, audience)),
        ("parent_folder", &|| parent_folder(app_state, vimeo_state, video, audience)),
        ("last_user_action_event_date", &|| json!(iso_8601(video.modified_at))),
        ("review_page", &|| review_page(video)),
        ("hide_from_vimeo", &|| json!(settings.is_hidden_from_vimeo)),
        ("spatial", &|| settings.spatial.clone()),
        ("resource_key", &|| json!(video.resource_key)),
        ("app", &|| app(vimeo_state, video)),
        ("status", &|| json!(upload.map_or("unavailable", status))),
        ("upload", &|| json!(upload.map(|upload| self::upload(app_state, upload, audience)))),
        ("transcode", &|| json!({"status": upload.map_or("error", transcode_status)})),
        ("version_transcode_status", &|| json!(upload.map(version_transcode_status))),
        ("is_playable", &|| json!(upload.is_some_and(Upload::is_playable))),
        ("is_cold_privacy_restricted", &|| json!(is_cold_restricted(app_state, vimeo_state, video))),
        ("is_cold_storage", &|| json!(false)),
    ]);
    if let (Audience::Owner, Value::Object(members)) = (audience, &mut shown) {
        members.insert("parent_project".to_owned(), parent_folder(app_state, vimeo_state, video, audience));
        if settings.privacy.view == "password" {
            members.insert("password".to_owned(), json!(settings.password));
        }
        let owner = vimeo_state.find_user(video.owner);
        if let Some(allowed) = owner.and_then(|user| views::allowed_privacies(user, plan(app_state, user))) {
            members.insert("allowed_privacies".to_owned(), json!(allowed));
        }
    }
    shown
}

fn is_cold_restricted(app_state: &AppState, vimeo_state: &VimeoState, video: &Video) -> bool {
    let view = &video.settings.privacy.view;
    let owner = vimeo_state.find_user(video.owner);
    owner.is_some_and(|user| views::is_cold_restricted(user, plan(app_state, user), view))
}

fn privacy(settings: &Settings) -> Value {
    let privacy = &settings.privacy;
    json!({
        "view": privacy.view,
        "embed": privacy.embed,
        "download": privacy.download,
        "add": privacy.add,
        "comments": privacy.comments,
        "allow_share_link": true,
    })
}

fn review_page(video: &Video) -> Value {
    let (id, owner) = (video.id.number(), video.owner.number());
    let link = format!("https://vimeo.com/user{owner}/review/{id}/{}", video.hash);
    json!({"active": video.settings.has_review_page, "link": link})
}

fn app(vimeo_state: &VimeoState, video: &Video) -> Value {
    json!(vimeo_state.app_by_id(video.app).map(|app| json!({"name": app.name, "uri": app.id.to_string()})))
}

/// The folder that a video is in, for its owner only.
fn parent_folder(app_state: &AppState, vimeo_state: &VimeoState, video: &Video, audience: Audience) -> Value {
    let folder =
        video.folder.filter(|_| audience == Audience::Owner).and_then(|id| vimeo_state.find_folder(id));
    json!(folder.map(|folder| folders::present(app_state, vimeo_state, folder)))
}

/// The URI of a video, and its link for people.
fn addresses(app_state: &AppState, video: &Video) -> (String, String) {
    let (uri, link) = (video.id.to_string(), format!("https://vimeo.com/{}", video.id.number()));
    if video.settings.privacy.view != "unlisted" {
        return (uri, link);
    }
    let uri = match app_state.unlisted_uris {
        UnlistedUris::Plain => uri,
        UnlistedUris::WithHash => format!("{uri}:{}", video.hash),
    };
    (uri, format!("{link}/{}", video.hash))
}

/// The JSON of a version.
pub(crate) fn version(
    app_state: &AppState,
    vimeo_state: &VimeoState,
    video: &Video,
    version: &Version,
) -> Value {
    let upload = &version.upload;
    let (_, _, seconds) = shape(upload);
    json!({
        "uri": format!("{}/versions/{}", video.id, version.id.number()),
        "file_name": version.file_name,
        "filename": version.file_name,
        "filesize": upload.size,
        "duration": seconds,
        "active": version.id == video.active,
        "is_current": version.id == video.active,
        "created_time": iso_8601(version.created_at),
        "modified_time": iso_8601(version.created_at),
        "upload_date": iso_8601(version.created_at),
        "app": app(vimeo_state, video),
        "user": owner(app_state, vimeo_state, video, Audience::Owner),
        "upload": self::upload(app_state, upload, Audience::Owner),
        "transcode": {"status": transcode_status(upload)},
        "metadata": {"connections": null, "interactions": null},
    })
}

fn owner(app_state: &AppState, vimeo_state: &VimeoState, video: &Video, audience: Audience) -> Value {
    let Some(user) = vimeo_state.find_user(video.owner) else { return Value::Null };
    let mut shown = users::present_public(user, plan(app_state, user));
    let may_upload = vimeo_state.app_by_id(video.app).is_some_and(|app| app.has_upload_access);
    if let (Audience::Owner, true, Value::Object(members)) = (audience, may_upload, &mut shown) {
        members.insert("upload_quota".to_owned(), users::present_quota(vimeo_state, user));
    }
    shown
}

/// The plan of a user. Rate limits must not be locked while the state is, so they are not asked.
fn plan(app_state: &AppState, user: &User) -> Plan {
    user.plan.or(app_state.plan).unwrap_or(Plan::Enterprise)
}

/// The `status` of a video.
pub(crate) fn status(upload: &Upload) -> &str {
    match upload.stage() {
        Stage::Uploading | Stage::Received => "uploading",
        Stage::TranscodeStarting => "transcode_starting",
        Stage::Transcoding => "transcoding",
        Stage::Available => "available",
        Stage::Failed(failure) => &failure.status,
    }
}

fn upload_status(upload: &Upload) -> &'static str {
    match upload.stage() {
        Stage::Uploading | Stage::Received => "in_progress",
        Stage::TranscodeStarting | Stage::Transcoding | Stage::Available => "complete",
        Stage::Failed(failure) if failure.is_canceled => "canceled",
        Stage::Failed(failure) if failure.is_of_transcoding() && upload.is_complete() => "complete",
        Stage::Failed(_) => "error",
    }
}

fn transcode_status(upload: &Upload) -> &'static str {
    match upload.stage() {
        Stage::Uploading | Stage::Received | Stage::TranscodeStarting | Stage::Transcoding => "in_progress",
        Stage::Available => "complete",
        Stage::Failed(_) => "error",
    }
}

/// What of the current version can be played.
fn version_transcode_status(upload: &Upload) -> Value {
    let is_complete = *upload.stage() == Stage::Available;
    json!({
        "is_playable": upload.is_playable(),
        "is_fully_playable": is_complete,
        "is_complete": is_complete,
    })
}

fn upload(app_state: &AppState, upload: &Upload, audience: Audience) -> Value {
    let (link, redirect) = match &upload.approach {
        Approach::Pull { link } => (Some(link), None),
        Approach::Post { redirect_url } => (None, redirect_url.as_ref()),
        Approach::Tus | Approach::None => (None, None),
    };
    let is_awaited = matches!(upload.stage(), Stage::Uploading | Stage::Received);
    let is_sent_here = matches!(upload.approach, Approach::Tus | Approach::Post { .. });
    // Anyone with the link can upload, so it is shown to the owner only.
    let upload_link =
        (audience == Audience::Owner && is_awaited && is_sent_here).then(|| uploads::link(app_state, upload));
    let form = matches!(upload.approach, Approach::Post { .. })
        .then(|| upload_link.as_ref().map(|link| form(link)))
        .flatten();
    let error = match upload.stage() {
        Stage::Failed(Failure { error, .. }) => error.as_deref(),
        _ => None,
    };
    json!({
        "status": upload_status(upload),
        "upload_link": upload_link,
        "form": form,
        "complete_uri": null,
        "gcs_uid": null,
        "approach": upload.approach.name(),
        "size": upload.size,
        "redirect_url": redirect,
        "link": (audience == Audience::Owner).then_some(link).flatten(),
        "error": error,
    })
}

fn form(link: &str) -> String {
    format!(
        "<form method=\"POST\" action=\"{link}\" enctype=\"multipart/form-data\">\
         <label for=\"file\">File:</label><input type=\"file\" name=\"file_data\" id=\"file\">\
         <input type=\"submit\" name=\"submit\" value=\"Submit\"></form>"
    )
}

/// Width, height and duration in seconds. Nothing is decoded: for a playable video they are fixed, and the duration
/// follows from its size.
fn shape(upload: &Upload) -> (u32, u32, u64) {
    if upload.is_playable() { (1920, 1080, (upload.received.bytes / 500_000).max(1)) } else { (400, 300, 0) }
}

fn rating_class(ratings: &[String]) -> &'static str {
    if ratings.iter().any(|rating| rating == "unrated") {
        "unrated"
    } else if ratings.iter().all(|rating| rating == "safe" || rating == "advertisement") {
        "safe"
    } else {
        "explicit"
    }
}

fn embed(settings: &Settings, player: &str, width: u32, height: u32) -> Value {
    let mut shown = match &settings.embed {
        Value::Object(kept) => kept.clone(),
        _ => serde_json::Map::new(),
    };
    // Escaped for an attribute.
    let title = settings.name.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let html = format!(
        "<iframe src=\"{player}\" width=\"{width}\" height=\"{height}\" frameborder=\"0\" \
         allow=\"autoplay; fullscreen; picture-in-picture\" title=\"{title}\"></iframe>"
    );
    shown.insert("html".to_owned(), json!(html));
    Value::Object(shown)
}

fn metadata(video: &Video) -> Value {
    let uri = video.id.to_string();
    let connection = |path: &str, options: &[&str], total: usize| json!({"uri": format!("{uri}/{path}"), "options": options, "total": total});
    let current = video.active.number();
    let pictures = video.pictures.len() + usize::from(video.has_automatic_picture());
    json!({"connections": {
        "pictures": connection("pictures", &["GET", "POST"], pictures),
        "texttracks": connection("texttracks", &["GET", "POST"], video.text_tracks.len()),
        "tags": connection("tags", &["GET", "PUT"], video.tags.len()),
        "chapters": connection("chapters", &["GET", "POST"], video.chapters.len()),
        "versions": {
            "uri": format!("{uri}/versions"),
            "options": ["GET", "POST"],
            "total": video.versions.len(),
            "current_uri": format!("{uri}/versions/{current}"),
        },
        "domains": connection("privacy/domains", &["GET"], video.settings.domains.len()),
    }, "interactions": {
        "edit": {"uri": uri, "options": ["PATCH"]},
        "delete": {"uri": uri, "options": ["DELETE"]},
    }})
}
