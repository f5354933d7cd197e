//! `POST /me/videos`: creates a placeholder; the bytes follow.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::present::{Audience, video as present};
use super::settings::{self, EditContext};
use crate::accept;
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, PathOwner, invalid_field};
use crate::app_state::AppState;
use crate::errors;
use crate::faults::CreatedVersion;
use crate::folders;
use crate::state::{
    Approach, Caller, ExceededQuota, NewVersion, NewVideo, QuotaUse, Settings, Unit, User, VersionId,
    VideoId, VimeoState,
};
use crate::uploads;

/// The largest file that Vimeo accepts: 300 GB.
pub(crate) const FILE_BYTES_MAX: u64 = 300_000_000_000;

const LINK_CHARACTERS_MAX: usize = 16_384;

/// `POST /me/videos` and `POST /users/{user}/videos`.
pub(crate) async fn create(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (caller, user) = uploader(&request)?;
    if let PathOwner::Other(_) = request.owner(user)? {
        return Err(errors::not_owned().into());
    }
    let members = request.members_of_some()?;
    let wanted = read_upload(&members)?;
    let plan = app_state.rate_limits().plan(user);
    let now = app_state.now();
    let mut settings = Settings::default();
    settings::apply(&members, &mut settings, EditContext { user, plan })?;
    let mut vimeo_state = app_state.vimeo();
    let is_restricted = settings.privacy.is_restricted();
    check_quota(&vimeo_state, user, QuotaUse { bytes: wanted.size.unwrap_or(0), videos: 1, is_restricted })?;
    let folder = match members.get("folder_uri") {
        None | Some(Value::Null) => None,
        Some(Value::String(uri)) => Some(folders::find_by_uri(&vimeo_state, user, uri)?),
        Some(_) => {
            return Err(invalid_field("folder_uri", 2204, "must be a string"));
        }
    };
    let status = match wanted.approach {
        // Vimeo's own clients accept no other status.
        Approach::Tus => StatusCode::OK,
        _ => StatusCode::CREATED,
    };
    let version = wanted.into_version(None, app_state.link_expiry(now));
    let new = NewVideo { owner: user.id, app: caller.app.id, settings, folder, version };
    let (id, version) = {
        let video = vimeo_state.add_video(new, now);
        (video.id, video.active)
    };
    let video = vimeo_state.find_video(id).ok_or_else(errors::missing_resource)?;
    let shown = present(&app_state, &vimeo_state, video, Audience::Owner, &request.fields());
    drop(vimeo_state);
    uploads::start(&app_state, id, version);
    Ok(made(request.present(status, super::VIDEO, shown), id, version))
}

/// The response, marked with the version that was created.
pub(super) fn made(mut response: Response, video: VideoId, version: VersionId) -> Response {
    response.extensions_mut().insert(CreatedVersion(video, version));
    response
}

/// The uploading user, with all permissions checked.
pub(super) fn uploader(request: &ApiRequest) -> Result<(&Caller, &User), ErrorResponse> {
    let caller = request.caller()?;
    if caller.user.is_none() {
        return Err(errors::no_user_to_upload().into());
    }
    if !accept::names_current_version(&request.headers) {
        return Err(errors::old_version("The Accept header must ask for version 3.4.").into());
    }
    let (caller, user) = request.user_with("upload")?;
    if !caller.app.has_upload_access {
        let text = "The app is not allowed to perform that action.";
        return Err(errors::legacy(StatusCode::FORBIDDEN, text).into());
    }
    if !user.has_verified_email {
        let text = "You need to verify your email address before you can upload.";
        return Err(errors::full(StatusCode::FORBIDDEN, 3400, text, text).into());
    }
    Ok((caller, user))
}

/// How the bytes of a new version will be uploaded.
pub(super) struct WantedUpload {
    approach: Approach,
    pub(super) size: Option<u64>,
}

impl WantedUpload {
    pub(super) fn into_version(
        self,
        file_name: Option<String>,
        link_expires_at: Option<Timestamp>,
    ) -> NewVersion {
        NewVersion { file_name, approach: self.approach, size: self.size, link_expires_at }
    }
}

/// Parses the `upload` member of a body.
pub(super) fn read_upload(members: &Map<String, Value>) -> Result<WantedUpload, ErrorResponse> {
    if members.contains_key("type") {
        let text = "The parameter type belongs to an older version; send upload.approach.";
        return Err(errors::old_version(text).into());
    }
    let upload = match members.get("upload") {
        // A well-known mistake: the video is created, but no bytes will arrive.
        None | Some(Value::Null) => return Ok(WantedUpload { approach: Approach::None, size: None }),
        Some(Value::Object(upload)) => upload,
        Some(_) => return Err(invalid_field("upload", 2204, "must be an object")),
    };
    let size = read_size(upload.get("size"))?;
    let text = |name: &str| match upload.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= LINK_CHARACTERS_MAX => Ok(Some(text.clone())),
        Some(_) => Err(invalid_field(
            &format!("upload.{name}"),
            2204,
            "must be a string of 16,384 characters at most",
        )),
    };
    let approach = match upload.get("approach").and_then(Value::as_str) {
        Some("tus") if size.is_none() => return Err(invalid_field("upload.size", 2254, "is missing")),
        Some("tus") => Approach::Tus,
        Some("post") => Approach::Post { redirect_url: text("redirect_url")? },
        Some("pull") => match text("link")? {
            Some(link) if is_link(&link) => Approach::Pull { link },
            Some(_) => {
                return Err(invalid_field("upload.link", 2204, "must be an absolute http or https URL"));
            }
            None => return Err(invalid_field("upload.link", 2204, "is missing")),
        },
        _ => return Err(errors::bad_approach().into()),
    };
    Ok(WantedUpload { approach, size })
}

/// Bytes, as a number or, as specified, as a string.
fn read_size(value: Option<&Value>) -> Result<Option<u64>, ErrorResponse> {
    let size = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
    };
    match size {
        None => Err(invalid_field("upload.size", 2254, "must be a whole number of bytes")),
        Some(size) if size > FILE_BYTES_MAX => {
            let text = "The file is larger than 300 GB.";
            Err(errors::full(StatusCode::FORBIDDEN, 3428, text, text).into())
        }
        Some(size) => Ok(Some(size)),
    }
}

fn is_link(link: &str) -> bool {
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && link.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a user's quota allows an addition.
pub(super) fn check_quota(
    vimeo_state: &VimeoState,
    user: &User,
    more: QuotaUse,
) -> Result<(), ErrorResponse> {
    let (Some(exceeded_quota), Some(quota)) = (vimeo_state.exceeded_quota(user, more), &user.quota) else {
        return Ok(());
    };
    let code = match (exceeded_quota, quota.unit) {
        (ExceededQuota::Lifetime | ExceededQuota::Restricted, Unit::Size) => 4101,
        (ExceededQuota::Periodic, Unit::Size) => 4102,
        (ExceededQuota::Lifetime | ExceededQuota::Restricted, Unit::Count) => 4103,
        (ExceededQuota::Periodic, Unit::Count) => 4104,
    };
    Err(quota_reached(code).into())
}

fn quota_reached(code: u32) -> Response {
    let text = match code {
        4101 => "The user's total storage space is used up.",
        4102 => "The user's upload quota for this period is used up.",
        4103 => "The user has as many videos as their plan allows.",
        _ => "The user has uploaded as many videos in this period as their plan allows.",
    };
    errors::full(StatusCode::FORBIDDEN, code, text, text)
}

impl AppState {
    /// When a link that is created now expires, if ever.
    pub(super) fn link_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        let lifetime = SignedDuration::try_from(self.link_lifetime?).ok()?;
        now.checked_add(lifetime).ok()
    }
}
