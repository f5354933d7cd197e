//! The state of the emulated Vimeo: apps, users, tokens, videos, folders, and pending grants, by number as in Vimeo's
//! URIs. All of it can be serialized.

mod apps;
mod folders;
mod grants;
mod numbers;
mod order;
mod publication;
mod settings;
mod showcases;
mod token_table;
mod tokens;
mod uploads;
mod users;
mod video_table;
mod videos;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ambient::{Random, system_random};
use crate::scopes::Scopes;
use token_table::TokenTable;
use video_table::VideoTable;

pub(crate) use apps::{App, ClientRefusal, NewApp};
pub(crate) use folders::{Clips, Folder};
pub(crate) use grants::{
    Answer, CodeRefusal, Consent, DeviceRefusal, GRANT_LIFETIME, GrantFlow, Grants, Page, RedirectTarget,
    grant_end, hyphenated,
};
pub(crate) use numbers::{AppId, FolderId, PresetId, ShowcaseId, UserId, VersionId, VideoId};
pub(crate) use order::{Direction, Order};
pub(crate) use publication::{
    Chapter, Feature, FileLink, NewTextTrack, Picture, PictureActivity, StoredFile, TextTrack, canonical_tag,
};
pub(crate) use settings::StateSettings;
pub(crate) use showcases::Showcase;
pub(crate) use tokens::{Caller, NewToken, Origin, Token};
pub(crate) use uploads::{Approach, Failure, Received, Stage, StageTiming, Upload};
pub(crate) use users::{ExceededQuota, Period, Quota, QuotaLimit, QuotaUse, Unit, User};
pub(crate) use video_table::{LinkTarget, VideoList};
pub(crate) use videos::{DOMAINS_MAX, NewVersion, NewVideo, Orphan, Settings, Version, Video};

/// The first app's credentials, printed when the sandbox starts.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FirstCredentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) access_token: String,
}

// Not 1, so that an app's number is not mistaken for a user's or a token's.
const FIRST_NUMBER: u64 = 240_001;

/// The state that a reset restores and a state file contains.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct VimeoState {
    #[serde(skip, default = "system_random")]
    random: Random,
    pub(crate) first: FirstCredentials,
    apps: BTreeMap<AppId, App>,
    users: BTreeMap<UserId, User>,
    tokens: TokenTable,
    guest: Option<AppId>,
    videos: VideoTable,
    folders: BTreeMap<FolderId, Folder>,
    #[serde(default)]
    showcases: BTreeMap<ShowcaseId, Showcase>,
    #[serde(default)]
    pub(crate) settings: StateSettings,
    #[serde(default)]
    grants: Grants,
    next_number: u64,
}

/// Whether unknown credentials are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenMode {
    Strict,
    Open,
}

impl VimeoState {
    /// The initial state: one app, its owner, and one token with every scope.
    pub(crate) fn first(random: Random, redirect_uris: Vec<String>) -> Self {
        let mut vimeo_state = Self {
            random,
            first: FirstCredentials {
                client_id: String::new(),
                client_secret: String::new(),
                access_token: String::new(),
            },
            apps: BTreeMap::new(),
            users: BTreeMap::new(),
            tokens: TokenTable::default(),
            guest: None,
            videos: VideoTable::default(),
            folders: BTreeMap::new(),
            showcases: BTreeMap::new(),
            settings: StateSettings::default(),
            grants: Grants::default(),
            next_number: FIRST_NUMBER,
        };
        let app = vimeo_state.add_app(NewApp {
            name: "Sandbox App".to_owned(),
            has_upload_access: true,
            redirect_uris,
        });
        let token = vimeo_state.add_token(NewToken {
            app: app.id,
            scopes: Scopes::all(),
            user: Some(app.owner),
            origin: Origin::Issued,
            expires_at: None,
        });
        vimeo_state.first = FirstCredentials {
            client_id: app.client_id,
            client_secret: app.client_secret,
            access_token: token.value,
        };
        vimeo_state
    }

    /// Turns open mode on or off. An existing guest app is kept.
    pub(crate) fn set_open_mode(&mut self, open_mode: OpenMode) {
        self.guest = match open_mode {
            OpenMode::Strict => None,
            OpenMode::Open => self.guest.or_else(|| Some(self.add_guest())),
        };
    }

    fn add_guest(&mut self) -> AppId {
        let known = self.apps.values().find(|app| app.is_guest).map(|app| app.id);
        known.unwrap_or_else(|| {
            let app = self.add_app(NewApp {
                name: "Guest App".to_owned(),
                has_upload_access: true,
                redirect_uris: Vec::new(),
            });
            if let Some(app) = self.apps.get_mut(&app.id) {
                app.is_guest = true;
            }
            app.id
        })
    }

    /// Sets the source of new identifiers; a state that was read from a file uses the system's.
    pub(crate) fn set_random(&mut self, random: Random) {
        self.random = random;
    }

    /// Advances every upload to the stage that it has reached by now. Returns whether any changed.
    pub(crate) fn advance(&mut self, now: Timestamp, stage_timing: StageTiming) -> bool {
        let stage_timing = self.settings.applied_to(stage_timing);
        let mut has_changed = false;
        for id in self.videos.in_progress() {
            has_changed |= self.videos.edit(id, |video| video.advance(now, stage_timing)).unwrap_or(false);
        }
        has_changed
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    pub(crate) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// Random bytes in hexadecimal.
    pub(crate) fn random_hex<const N: usize>(&self) -> String {
        hex(&self.random_bytes::<N>())
    }
}

/// The fingerprint of a secret: the first 12 hexadecimal characters of its SHA-256.
pub(crate) fn fingerprint(secret: &[u8]) -> String {
    hex(&Sha256::digest(secret)).chars().take(12).collect()
}

/// The replacement for a secret.
pub(crate) fn redacted(secret: &str) -> String {
    format!("fingerprint:{}", fingerprint(secret.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect()
}
