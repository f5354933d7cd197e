//! The rows of the dashboard's tables.

use serde_json::{Value, json};

use super::{UserSummary, text};
use crate::app_state::AppState;
use crate::pages::presentable;
use crate::state::{App, Stage, Token, UserId, Version, Video};
use crate::videos;

const NAME_CHARACTERS_MAX: usize = 80;
const PATH_CHARACTERS_MAX: usize = 200;

fn name(text: &str) -> String {
    presentable(text, NAME_CHARACTERS_MAX)
}

pub(super) struct AppRow {
    pub(super) uri: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) redirect_uris: Vec<String>,
    pub(super) is_guest: bool,
}

impl AppRow {
    pub(super) fn of(app: &App) -> Self {
        let kind = match (app.is_guest, app.has_upload_access) {
            _ if app.is_deleted => "deleted",
            (true, _) => "credentials never issued here",
            (false, true) => "may upload",
            (false, false) => "may not upload",
        };
        Self {
            uri: app.id.to_string(),
            name: name(&app.name),
            kind,
            client_id: app.client_id.clone(),
            client_secret: app.client_secret.clone(),
            redirect_uris: app
                .redirect_uris
                .iter()
                .map(|uri| presentable(uri, PATH_CHARACTERS_MAX))
                .collect(),
            is_guest: app.is_guest,
        }
    }
}

pub(super) struct TokenRow {
    pub(super) fingerprint: String,
    pub(super) app: String,
    pub(super) user: String,
    pub(super) scopes: String,
    pub(super) origin: &'static str,
    pub(super) is_revoked: bool,
}

impl TokenRow {
    pub(super) fn of(token: &Token, apps: &[App], users: &[UserSummary]) -> Self {
        let app = apps.iter().find(|app| app.id == token.app).map(|app| name(&app.name));
        Self {
            fingerprint: token.fingerprint.clone(),
            app: app.unwrap_or_else(|| token.app.to_string()),
            user: token.user.map_or_else(|| "the app alone".to_owned(), |id| user_name(users, id)),
            scopes: token.scopes.to_string(),
            origin: token.origin.name(),
            is_revoked: token.is_revoked,
        }
    }
}

fn user_name(users: &[UserSummary], id: UserId) -> String {
    let seen = users.iter().find(|seen| seen.user.id == id);
    seen.map_or_else(|| id.to_string(), |seen| name(&seen.user.name))
}

pub(super) struct UserRow {
    pub(super) uri: String,
    pub(super) name: String,
    pub(super) plan: &'static str,
    pub(super) quotas: Vec<QuotaRow>,
    pub(super) videos: usize,
}

pub(super) struct QuotaRow {
    pub(super) used: u64,
    /// Absent if unlimited.
    pub(super) max: Option<u64>,
    pub(super) text: String,
}

impl UserRow {
    pub(super) fn of(app_state: &AppState, seen: &UserSummary) -> Self {
        let quotas =
            ["lifetime", "periodic", "restricted"].iter().filter_map(|kind| QuotaRow::of(&seen.quota, kind));
        Self {
            uri: seen.user.id.to_string(),
            name: name(&seen.user.name),
            plan: app_state.rate_limits().plan(&seen.user).name(),
            quotas: quotas.collect(),
            videos: seen.videos,
        }
    }
}

impl QuotaRow {
    fn of(quota: &Value, kind: &str) -> Option<Self> {
        let numbers = quota.get(kind)?;
        let (used, max) = (numbers.get("used")?.as_u64()?, numbers.get("max")?.as_u64());
        let each = match text(numbers, "period").as_str() {
            "" if kind == "restricted" => ", not open to anybody".to_owned(),
            "" => String::new(),
            period => format!(" a {period}"),
        };
        let text = match (max, text(numbers, "unit") == "video_count") {
            (Some(max), true) => format!("{used} of {max} videos{each}"),
            (Some(max), false) => format!("{} of {}{each}", size(used), size(max)),
            (None, true) => format!("{used} videos, unlimited"),
            (None, false) => format!("{}, unlimited", size(used)),
        };
        Some(Self { used, max, text })
    }
}

pub(super) struct VideoRow {
    pub(super) number: u64,
    pub(super) uri: String,
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) versions: Vec<VersionRow>,
    pub(super) may_step: bool,
    /// The body for the control that fails the newest version, while it can still fail.
    pub(super) failure: Option<String>,
    pub(super) may_expire: bool,
}

pub(super) struct VersionRow {
    pub(super) stage: String,
    pub(super) tone: &'static str,
    pub(super) error: Option<String>,
    pub(super) is_active: bool,
    pub(super) received: u64,
    pub(super) size: Option<u64>,
    pub(super) bytes: String,
    /// Present once the upload is complete.
    pub(super) sha256: Option<String>,
}

impl VideoRow {
    pub(super) fn of(video: &Video, users: &[UserSummary]) -> Self {
        let newest =
            video.versions.iter().max_by_key(|version| version.id).map(|version| version.upload.stage());
        let is_uploading = matches!(newest, Some(Stage::Uploading));
        let is_transcoding =
            matches!(newest, Some(Stage::Received | Stage::TranscodeStarting | Stage::Transcoding));
        let status = if is_uploading { "uploading_error" } else { "transcoding_error" };
        let mut versions: Vec<&Version> = video.versions.iter().collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.id));
        Self {
            number: video.id.number(),
            uri: video.id.to_string(),
            name: name(&video.settings.name),
            owner: user_name(users, video.owner),
            versions: versions.into_iter().map(|version| VersionRow::of(version, video)).collect(),
            may_step: is_transcoding,
            failure: (is_uploading || is_transcoding).then(|| json!({"status": status}).to_string()),
            may_expire: is_uploading,
        }
    }
}

impl VersionRow {
    fn of(version: &Version, video: &Video) -> Self {
        let upload = &version.upload;
        let received = upload.received.bytes;
        let is_complete = upload.size == Some(received);
        let (tone, error) = match upload.stage() {
            Stage::Available => ("good", None),
            Stage::Failed(failure) => ("bad", failure.error.clone()),
            Stage::Uploading | Stage::Received | Stage::TranscodeStarting | Stage::Transcoding => {
                ("busy", None)
            }
        };
        Self {
            stage: videos::status(upload).replace('_', " "),
            tone,
            error,
            is_active: version.id == video.active,
            received,
            size: upload.size,
            bytes: match upload.size {
                Some(whole) if !is_complete => format!("{} of {}", size(received), size(whole)),
                _ => size(received),
            },
            sha256: is_complete.then(|| text(&json!({"sha256": upload.received.sha256()}), "sha256")),
        }
    }
}

pub(super) struct FaultRow {
    pub(super) id: String,
    pub(super) route: String,
    pub(super) kind: String,
    /// Its other parameters, in one line.
    pub(super) parameters: String,
    pub(super) remaining: String,
    pub(super) happened: String,
}

impl FaultRow {
    pub(super) fn of(fault: &Value) -> Self {
        const SHOWN_ELSEWHERE: [&str; 5] = ["id", "route", "kind", "remaining", "happened"];
        let parameters = fault.as_object().into_iter().flatten().filter(|(name, value)| {
            let is_default = value.is_null() || (*name == "after" && **value == json!(0));
            !is_default && !SHOWN_ELSEWHERE.contains(&name.as_str())
        });
        let parameters = parameters.map(|(name, value)| match value {
            Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        });
        Self {
            id: text(fault, "id"),
            route: presentable(&text(fault, "route"), PATH_CHARACTERS_MAX),
            kind: text(fault, "kind"),
            parameters: presentable(&parameters.collect::<Vec<_>>().join(", "), PATH_CHARACTERS_MAX),
            remaining: text(fault, "remaining"),
            happened: text(fault, "happened"),
        }
    }
}

pub(super) struct EntryRow {
    pub(super) number: String,
    pub(super) time: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: String,
    pub(super) fault: String,
    pub(super) who: String,
    pub(super) millis: String,
}

impl EntryRow {
    pub(super) fn of(entry: &Value) -> Self {
        let query = match text(entry, "query") {
            query if query.is_empty() => query,
            query => format!("?{query}"),
        };
        let who = match (text(entry, "user"), text(entry, "app")) {
            (user, _) if !user.is_empty() => user,
            (_, app) => app,
        };
        Self {
            number: text(entry, "number"),
            time: text(entry, "at").get(11..19).map(|time| format!("{time} UTC")).unwrap_or_default(),
            method: name(&text(entry, "method")),
            path: presentable(&format!("{}{query}", text(entry, "path")), PATH_CHARACTERS_MAX),
            status: match text(entry, "status") {
                status if !status.is_empty() => status,
                _ if entry.get("abandoned") == Some(&Value::Bool(true)) => "left".to_owned(),
                _ if entry.get("settled") == Some(&Value::Bool(true)) => "cut".to_owned(),
                _ => "waiting".to_owned(),
            },
            fault: text(entry, "fault"),
            who,
            millis: text(entry, "millis"),
        }
    }

    /// The CSS class of a status: its first character.
    pub(super) fn class(&self) -> &str {
        self.status.get(..1).unwrap_or_default()
    }
}

/// A human-readable size.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let place = (bytes.ilog2() / 10).clamp(1, 5);
    let tenths = (u128::from(bytes) * 10) >> (10 * place);
    let unit = UNITS.get(place as usize - 1).copied().unwrap_or_default();
    if tenths.is_multiple_of(10) {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_never_more_than_the_truth() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (52_428_800, "50 MiB"),
            (5 << 40, "5 TiB"),
            ((1 << 30) - 1, "1023.9 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
