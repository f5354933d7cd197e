//! Videos, their versions and their settings.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::publication::{Chapter, Picture, TextTrack, ViewChange};
use super::uploads::NewUpload;
use super::{
    AppId, Approach, FolderId, LinkTarget, PresetId, Stage, StageTiming, Upload, UserId, VersionId, VideoId,
    VideoList, VimeoState,
};

/// How many domains Vimeo allows to embed a video.
pub(crate) const DOMAINS_MAX: usize = 50;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Video {
    pub(crate) id: VideoId,
    pub(crate) owner: UserId,
    pub(crate) app: AppId,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) settings: Settings,
    /// The end of a link to an unlisted video: 10 hexadecimal characters.
    pub(crate) hash: String,
    pub(crate) resource_key: String,
    pub(crate) folder: Option<FolderId>,
    pub(crate) preset: Option<PresetId>,
    /// Never empty; oldest first.
    pub(crate) versions: Vec<Version>,
    pub(crate) active: VersionId,
    pub(crate) pictures: Vec<Picture>,
    #[serde(default)]
    pub(crate) text_tracks: Vec<TextTrack>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// In the order of their time.
    #[serde(default)]
    pub(crate) chapters: Vec<Chapter>,
    /// Changes of `privacy.view` since the video was created, oldest first.
    #[serde(default)]
    pub(crate) view_changes: Vec<ViewChange>,
}

/// The settings of a video.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) content_rating: Vec<String>,
    pub(crate) password: Option<String>,
    pub(crate) privacy: Privacy,
    pub(crate) domains: BTreeSet<String>,
    pub(crate) is_hidden_from_vimeo: bool,
    pub(crate) has_review_page: bool,
    /// Stored unchanged; the sandbox has no player.
    pub(crate) embed: Value,
    pub(crate) spatial: Value,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "Untitled".to_owned(),
            description: None,
            license: None,
            locale: None,
            content_rating: vec!["unrated".to_owned()],
            password: None,
            privacy: Privacy::default(),
            domains: BTreeSet::new(),
            is_hidden_from_vimeo: false,
            has_review_page: false,
            embed: Value::Null,
            spatial: Value::Null,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Privacy {
    pub(crate) view: String,
    pub(crate) embed: String,
    pub(crate) comments: String,
    pub(crate) download: bool,
    pub(crate) add: bool,
}

impl Privacy {
    /// Whether the video is not open to anybody, and so counts in the restricted pool of a quota.
    pub(crate) fn is_restricted(&self) -> bool {
        self.view != "anybody"
    }
}

impl Default for Privacy {
    fn default() -> Self {
        Self {
            view: "anybody".to_owned(),
            embed: "public".to_owned(),
            comments: "anybody".to_owned(),
            download: false,
            add: true,
        }
    }
}

/// A file of a video.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) id: VersionId,
    pub(crate) file_name: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) upload: Upload,
    /// Whether it becomes the active version once it can be played.
    is_due: bool,
}

/// The upload of a deleted version, whose bytes are to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphan {
    pub(crate) video: VideoId,
    pub(crate) version: VersionId,
    /// The secret part of its link, which is unique.
    pub(crate) key: String,
}

/// The properties of a new version.
pub(crate) struct NewVersion {
    pub(crate) file_name: Option<String>,
    pub(crate) approach: Approach,
    /// In bytes.
    pub(crate) size: Option<u64>,
    pub(crate) link_expires_at: Option<Timestamp>,
}

/// The properties of a new video.
pub(crate) struct NewVideo {
    pub(crate) owner: UserId,
    pub(crate) app: AppId,
    pub(crate) settings: Settings,
    pub(crate) folder: Option<FolderId>,
    pub(crate) version: NewVersion,
}

impl Video {
    /// The active version.
    pub(crate) fn active_version(&self) -> Option<&Version> {
        self.version(self.active)
    }

    pub(crate) fn version(&self, id: VersionId) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    fn version_mut(&mut self, id: VersionId) -> Option<&mut Version> {
        self.versions.iter_mut().find(|version| version.id == id)
    }

    /// Its uploads, as orphans.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = Orphan> {
        self.versions.iter().map(|version| self.orphan(version))
    }

    /// The upload of a version, as an orphan.
    pub(crate) fn orphan(&self, version: &Version) -> Orphan {
        Orphan { video: self.id, version: version.id, key: version.upload.key.clone() }
    }

    /// Whether it changes as time passes.
    pub(super) fn is_in_progress(&self) -> bool {
        self.versions.iter().any(|version| {
            version.upload.is_in_progress() || (version.is_due && *version.upload.stage() == Stage::Available)
        })
    }

    /// Advances its uploads to the current time. Returns whether anything changed. A new version becomes active once it
    /// can be played.
    pub(super) fn advance(&mut self, now: Timestamp, stage_timing: StageTiming) -> bool {
        let mut has_changed = false;
        for version in &mut self.versions {
            has_changed |= version.upload.advance(now, stage_timing);
            if version.is_due && *version.upload.stage() == Stage::Available {
                version.is_due = false;
                self.active = version.id;
                has_changed = true;
            }
        }
        has_changed
    }
}

impl VimeoState {
    pub(crate) fn add_video(&mut self, new: NewVideo, now: Timestamp) -> &Video {
        let NewVideo { owner, app, settings, folder, version } = new;
        let id = VideoId(self.take_number());
        let mut version = self.make_version(version, now);
        version.is_due = false;
        let video = Video {
            id,
            owner,
            app,
            created_at: now,
            modified_at: now,
            settings,
            hash: self.random_hex::<5>(),
            resource_key: self.random_hex::<20>(),
            folder,
            preset: None,
            active: version.id,
            versions: vec![version],
            pictures: Vec::new(),
            text_tracks: Vec::new(),
            tags: Vec::new(),
            chapters: Vec::new(),
            view_changes: Vec::new(),
        };
        self.videos.insert(video)
    }

    /// Adds a version. It becomes active once it can be played, or at once if no other version can. `None` if there is
    /// no such video.
    pub(crate) fn add_version(&mut self, id: VideoId, new: NewVersion, now: Timestamp) -> Option<VersionId> {
        let mut version = self.make_version(new, now);
        self.videos.edit(id, |video| {
            let is_playing = video.active_version().is_some_and(|active| active.upload.is_playable());
            if !is_playing {
                version.is_due = false;
                video.active = version.id;
            }
            let id = version.id;
            video.modified_at = now;
            video.versions.push(version);
            id
        })
    }

    fn make_version(&mut self, new: NewVersion, now: Timestamp) -> Version {
        let NewVersion { file_name, approach, size, link_expires_at } = new;
        let (id, key) = (VersionId(self.take_number()), self.random_hex::<16>());
        let upload = Upload::new(NewUpload { approach, size, key, expires_at: link_expires_at }, now);
        Version { id, file_name, created_at: now, upload, is_due: true }
    }

    pub(crate) fn find_video(&self, id: VideoId) -> Option<&Video> {
        self.videos.get(id)
    }

    /// Replaces the settings of a video, and records a change of its view. `None` if there is no such video.
    pub(crate) fn set_settings(&mut self, id: VideoId, settings: Settings, now: Timestamp) -> Option<()> {
        self.videos.edit(id, |video| {
            let view = &settings.privacy.view;
            if *view != video.settings.privacy.view {
                video.view_changes.push(ViewChange { view: view.clone(), at: now });
            }
            (video.settings, video.modified_at) = (settings, now);
        })
    }

    /// Changes a video. `None` if there is no such video.
    pub(crate) fn edit_video<T>(&mut self, id: VideoId, edit: impl FnOnce(&mut Video) -> T) -> Option<T> {
        self.videos.edit(id, edit)
    }

    /// The videos that a user owns.
    pub(crate) fn videos_of(&self, user: UserId) -> VideoList<'_> {
        self.videos.of_user(user)
    }

    /// The videos in a folder, not those in the folders below it.
    pub(crate) fn videos_in(&self, folder: FolderId) -> VideoList<'_> {
        self.videos.in_folder(folder)
    }

    /// Every video, oldest first.
    pub(crate) fn list_videos(&self) -> impl DoubleEndedIterator<Item = &Video> + ExactSizeIterator {
        self.videos.iter()
    }

    /// Removes a video. Returns its uploads.
    pub(crate) fn remove_video(&mut self, id: VideoId) -> Vec<Orphan> {
        self.remove_from_showcases(id);
        self.videos.remove(id).iter().flat_map(Video::orphans).collect()
    }

    /// Removes a version of a video. Returns its upload, if there was one.
    pub(crate) fn remove_version(&mut self, video: VideoId, version: VersionId) -> Option<Orphan> {
        let removed = self.videos.edit(video, |video| {
            let orphan = video.version(version).map(|version| video.orphan(version));
            video.versions.retain(|kept| kept.id != version);
            orphan
        });
        removed.flatten()
    }

    /// The uploads of all videos.
    pub(crate) fn orphans(&self) -> Vec<Orphan> {
        self.videos.iter().flat_map(Video::orphans).collect()
    }

    /// The video and the version that an upload link leads to.
    pub(crate) fn find_upload(&self, key: &str) -> Option<(VideoId, VersionId)> {
        match self.videos.find_link(key)? {
            (video, LinkTarget::Version(version)) => Some((video, version)),
            (_, LinkTarget::TextTrack(_) | LinkTarget::Picture(_)) => None,
        }
    }

    /// The video that a link leads to, and what of it the link is for.
    pub(crate) fn find_link(&self, key: &str) -> Option<(VideoId, LinkTarget)> {
        self.videos.find_link(key)
    }

    /// The version, if it exists.
    pub(crate) fn version(&self, video: VideoId, version: VersionId) -> Option<&Version> {
        self.videos.get(video)?.version(version)
    }

    /// Changes a version. `None` if there is no such version.
    pub(crate) fn edit_version<T>(
        &mut self,
        video: VideoId,
        version: VersionId,
        edit: impl FnOnce(&mut Version) -> T,
    ) -> Option<T> {
        self.videos.edit(video, |video| video.version_mut(version).map(edit)).flatten()
    }
}
