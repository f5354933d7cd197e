//! All videos and their index: the lists of each user and folder in every order, their sums, and the targets of upload
//! links. A request then costs what it shows, not what the account holds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::{Direction, FolderId, Order, Picture, TextTrack, UserId, Version, VersionId, Video, VideoId};

/// Videos by number. Serialized as a plain map; the index is rebuilt when the map is read.
///
/// Invariant: the index is what [`Index::add`] makes of the videos, because every change goes through
/// [`insert`](Self::insert), [`edit`](Self::edit) or [`remove`](Self::remove).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "BTreeMap<VideoId, Video>")]
pub(super) struct VideoTable {
    videos: BTreeMap<VideoId, Video>,
    index: Index,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Index {
    by_owner: HashMap<UserId, VideoSet>,
    by_folder: HashMap<FolderId, VideoSet>,
    /// By the secret part of an upload link. Should two versions share one, the newer video comes first.
    by_link: BTreeSet<(String, Reverse<VideoId>, LinkTarget)>,
    /// The videos that change as time passes.
    in_progress: BTreeSet<VideoId>,
}

/// What of a video a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LinkTarget {
    /// The bytes of a version.
    Version(VersionId),
    /// The file of a text track.
    TextTrack(u64),
    /// The image of a thumbnail.
    Picture(u64),
}

/// The videos of one user or in one folder, in each order of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct VideoSet {
    by_date: BTreeSet<(Timestamp, VideoId)>,
    by_modified: BTreeSet<(Timestamp, VideoId)>,
    by_name: BTreeSet<(String, VideoId)>,
    /// What they count in a quota of bytes.
    bytes: u64,
    restricted: RestrictedUse,
}

/// What the videos that are not open to anybody count in a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RestrictedUse {
    pub(crate) videos: u64,
    pub(crate) bytes: u64,
}

/// The properties of a video that the index depends on.
#[derive(PartialEq, Eq)]
struct Keys {
    id: VideoId,
    owner: UserId,
    folder: Option<FolderId>,
    created_at: Timestamp,
    modified_at: Timestamp,
    /// In lower case.
    name: String,
    bytes: u64,
    is_restricted: bool,
    links: Vec<(String, LinkTarget)>,
    is_in_progress: bool,
}

/// The videos of one user or folder.
#[derive(Clone, Copy)]
pub(crate) struct VideoList<'a>(Option<&'a VideoSet>);

impl<'a> VideoList<'a> {
    pub(crate) fn len(self) -> usize {
        self.0.map_or(0, |set| set.by_date.len())
    }

    /// What these videos count in a quota of bytes.
    pub(crate) fn bytes(self) -> u64 {
        self.0.map_or(0, |set| set.bytes)
    }

    /// What those of them count that are not open to anybody.
    pub(crate) fn restricted(self) -> RestrictedUse {
        self.0.map_or_else(RestrictedUse::default, |set| set.restricted)
    }

    /// Their numbers in an order.
    pub(crate) fn ids(self, order: Order, direction: Direction) -> Box<dyn Iterator<Item = VideoId> + 'a> {
        fn ids<'a, K>(
            keys: &'a BTreeSet<(K, VideoId)>,
            direction: Direction,
        ) -> Box<dyn Iterator<Item = VideoId> + 'a> {
            let ids = keys.iter().map(|(_, id)| *id);
            match direction {
                Direction::Ascending => Box::new(ids),
                Direction::Descending => Box::new(ids.rev()),
            }
        }
        match (self.0, order) {
            (None, _) => Box::new(std::iter::empty()),
            (Some(set), Order::Date) => ids(&set.by_date, direction),
            (Some(set), Order::Modified) => ids(&set.by_modified, direction),
            (Some(set), Order::Alphabetical) => ids(&set.by_name, direction),
        }
    }
}

impl VideoTable {
    pub(super) fn insert(&mut self, video: Video) -> &Video {
        let id = video.id;
        self.index.add(&Keys::of(&video));
        self.videos.entry(id).insert_entry(video).into_mut()
    }

    pub(super) fn get(&self, id: VideoId) -> Option<&Video> {
        self.videos.get(&id)
    }

    /// Changes a video. `None` if there is no such video.
    pub(super) fn edit<T>(&mut self, id: VideoId, edit: impl FnOnce(&mut Video) -> T) -> Option<T> {
        let video = self.videos.get_mut(&id)?;
        let before = Keys::of(video);
        let edited = edit(video);
        let after = Keys::of(video);
        if before != after {
            self.index.remove(&before);
            self.index.add(&after);
        }
        Some(edited)
    }

    pub(super) fn remove(&mut self, id: VideoId) -> Option<Video> {
        let video = self.videos.remove(&id)?;
        self.index.remove(&Keys::of(&video));
        Some(video)
    }

    /// Every video, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Video> + ExactSizeIterator {
        self.videos.values()
    }

    pub(super) fn of_user(&self, user: UserId) -> VideoList<'_> {
        VideoList(self.index.by_owner.get(&user))
    }

    pub(super) fn in_folder(&self, folder: FolderId) -> VideoList<'_> {
        VideoList(self.index.by_folder.get(&folder))
    }

    /// The videos that change as time passes.
    pub(super) fn in_progress(&self) -> Vec<VideoId> {
        self.index.in_progress.iter().copied().collect()
    }

    /// The video that a link leads to, and what of it the link is for.
    pub(super) fn find_link(&self, key: &str) -> Option<(VideoId, LinkTarget)> {
        let least = (key.to_owned(), Reverse(VideoId::MAX), LinkTarget::Version(VersionId::MIN));
        let (found, Reverse(video), target) = self.index.by_link.range(least..).next()?;
        (found == key).then_some((*video, *target))
    }
}

impl From<BTreeMap<VideoId, Video>> for VideoTable {
    fn from(videos: BTreeMap<VideoId, Video>) -> Self {
        let mut index = Index::default();
        for video in videos.values() {
            index.add(&Keys::of(video));
        }
        Self { videos, index }
    }
}

impl Serialize for VideoTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.videos.serialize(serializer)
    }
}

impl Keys {
    fn of(video: &Video) -> Self {
        let version = |version: &Version| (version.upload.key.clone(), LinkTarget::Version(version.id));
        let track = |track: &TextTrack| (track.link.key.clone(), LinkTarget::TextTrack(track.number));
        let picture = |picture: &Picture| {
            let key = picture.image.as_ref()?.link.key.clone();
            Some((key, LinkTarget::Picture(picture.number)))
        };
        let links = video.versions.iter().map(version);
        let links = links.chain(video.text_tracks.iter().map(track));
        let links = links.chain(video.pictures.iter().filter_map(picture)).collect();
        Self {
            id: video.id,
            owner: video.owner,
            folder: video.folder,
            created_at: video.created_at,
            modified_at: video.modified_at,
            name: video.settings.name.to_lowercase(),
            bytes: video.versions.iter().map(|version| version.upload.weight()).sum(),
            is_restricted: video.settings.privacy.is_restricted(),
            links,
            is_in_progress: video.is_in_progress(),
        }
    }
}

impl Index {
    fn add(&mut self, keys: &Keys) {
        self.by_owner.entry(keys.owner).or_default().add(keys);
        if let Some(folder) = keys.folder {
            self.by_folder.entry(folder).or_default().add(keys);
        }
        for (link, target) in &keys.links {
            self.by_link.insert((link.clone(), Reverse(keys.id), *target));
        }
        if keys.is_in_progress {
            self.in_progress.insert(keys.id);
        }
    }

    fn remove(&mut self, keys: &Keys) {
        remove_from(&mut self.by_owner, &keys.owner, keys);
        if let Some(folder) = keys.folder {
            remove_from(&mut self.by_folder, &folder, keys);
        }
        for (link, target) in &keys.links {
            self.by_link.remove(&(link.clone(), Reverse(keys.id), *target));
        }
        self.in_progress.remove(&keys.id);
    }
}

/// Removes a video from the set of a user or folder, and the set once it is empty.
fn remove_from<K: Hash + Eq>(sets: &mut HashMap<K, VideoSet>, key: &K, keys: &Keys) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(keys);
        if set.by_date.is_empty() {
            sets.remove(key);
        }
    }
}

impl VideoSet {
    fn add(&mut self, keys: &Keys) {
        self.by_date.insert((keys.created_at, keys.id));
        self.by_modified.insert((keys.modified_at, keys.id));
        self.by_name.insert((keys.name.clone(), keys.id));
        self.bytes += keys.bytes;
        if keys.is_restricted {
            self.restricted.videos += 1;
            self.restricted.bytes += keys.bytes;
        }
    }

    fn remove(&mut self, keys: &Keys) {
        self.by_date.remove(&(keys.created_at, keys.id));
        self.by_modified.remove(&(keys.modified_at, keys.id));
        self.by_name.remove(&(keys.name.clone(), keys.id));
        self.bytes -= keys.bytes;
        if keys.is_restricted {
            self.restricted.videos -= 1;
            self.restricted.bytes -= keys.bytes;
        }
    }
}

#[cfg(test)]
mod tests;
