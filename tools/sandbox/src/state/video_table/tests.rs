//! Compares the index with a scan of all videos, after random changes.

use proptest::prelude::*;

use super::*;
use crate::Pace;
use crate::ambient::Random;
use crate::state::{
    Approach, Clips, Failure, NewTextTrack, NewVersion, NewVideo, Settings, StageTiming, VimeoState,
};

#[derive(Clone, Debug)]
enum Change {
    Create { size: u64, owner: usize, folder: usize },
    AddVersion { video: usize, size: u64 },
    RemoveVersion { video: usize },
    AddTrack { video: usize },
    AddImage { video: usize },
    RemoveFiles { video: usize },
    Rename { video: usize, name: String },
    Place { video: usize, folder: Option<usize> },
    SetView { video: usize, view: &'static str },
    Receive { video: usize },
    Fail { video: usize },
    Remove { video: usize },
    RemoveFolder { folder: usize, clips: Clips },
    Advance,
    WriteAndRead,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = 0_usize..8;
    let change = prop_oneof![
        4 => (0_u64..9, at.clone(), at.clone())
            .prop_map(|(size, owner, folder)| Change::Create { size, owner, folder }),
        1 => (at.clone(), 0_u64..9).prop_map(|(video, size)| Change::AddVersion { video, size }),
        1 => at.clone().prop_map(|video| Change::RemoveVersion { video }),
        1 => at.clone().prop_map(|video| Change::AddTrack { video }),
        1 => at.clone().prop_map(|video| Change::AddImage { video }),
        1 => at.clone().prop_map(|video| Change::RemoveFiles { video }),
        2 => (at.clone(), "[aAbB]{0,3}").prop_map(|(video, name)| Change::Rename { video, name }),
        2 => (at.clone(), prop::option::of(at.clone()))
            .prop_map(|(video, folder)| Change::Place { video, folder }),
        2 => (at.clone(), prop::sample::select(vec!["anybody", "nobody", "unlisted"]))
            .prop_map(|(video, view)| Change::SetView { video, view }),
        3 => at.clone().prop_map(|video| Change::Receive { video }),
        1 => at.clone().prop_map(|video| Change::Fail { video }),
        1 => at.clone().prop_map(|video| Change::Remove { video }),
        1 => (at, prop_oneof![Just(Clips::Keep), Just(Clips::Delete)])
            .prop_map(|(folder, clips)| Change::RemoveFolder { folder, clips }),
        2 => Just(Change::Advance),
        1 => Just(Change::WriteAndRead),
    ];
    prop::collection::vec(change, 1..40)
}

/// A state, its clock and its identifiers.
struct Model {
    vimeo_state: VimeoState,
    seconds: i64,
    owners: Vec<UserId>,
    folders: Vec<FolderId>,
}

impl Model {
    fn new() -> Self {
        // Repeating bytes: some links have the same key.
        let random: Random = std::sync::Arc::new(|bytes| bytes.fill(7));
        let mut vimeo_state = VimeoState::first(random, Vec::new());
        let owners: Vec<UserId> = (0..2).map(|_| vimeo_state.add_user("Ada".to_owned()).id).collect();
        let now = Timestamp::UNIX_EPOCH;
        let folders =
            (0..2).map(|_| vimeo_state.add_folder(owners[0], "Films".to_owned(), None, now).id).collect();
        Self { vimeo_state, seconds: 0, owners, folders }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds).unwrap()
    }

    fn pick(&self, at: usize) -> Option<VideoId> {
        let ids: Vec<VideoId> = self.vimeo_state.list_videos().map(|video| video.id).collect();
        (!ids.is_empty()).then(|| ids[at % ids.len()])
    }

    fn apply(&mut self, change: Change) {
        self.seconds += 1;
        let now = self.now();
        match change {
            Change::Create { size, owner, folder } => self.create(size, owner, folder),
            Change::AddVersion { video, size } => {
                let Some(id) = self.pick(video) else { return };
                self.vimeo_state.add_version(id, new_version(size), now);
            }
            Change::RemoveVersion { video } => {
                let Some(id) = self.pick(video) else { return };
                let version =
                    self.vimeo_state.find_video(id).unwrap().versions.last().map(|version| version.id);
                version.map(|version| self.vimeo_state.remove_version(id, version));
            }
            Change::AddTrack { video } => self.add_track(video),
            Change::AddImage { video } => {
                let Some(id) = self.pick(video) else { return };
                self.vimeo_state.add_image(id);
            }
            Change::RemoveFiles { video } => self.edit(video, |video| {
                video.text_tracks.pop();
                video.pictures.pop();
            }),
            Change::Rename { video, name } => self.edit(video, |video| {
                (video.settings.name, video.modified_at) = (name, now);
            }),
            Change::SetView { video, view } => {
                self.edit(video, |video| view.clone_into(&mut video.settings.privacy.view));
            }
            Change::Place { video, folder } => {
                let folder = folder.map(|at| self.folders[at % 2]);
                self.edit(video, |video| video.folder = folder);
            }
            Change::Receive { video } => self.edit(video, |video| {
                let Some(upload) = video.versions.last_mut().map(|version| &mut version.upload) else {
                    return;
                };
                let mut received = upload.received.clone();
                received.take(&vec![0; usize::try_from(upload.size.unwrap()).unwrap()]);
                upload.receive(received, now);
            }),
            Change::Fail { video } => self.edit(video, |video| {
                if let Some(version) = video.versions.last_mut() {
                    version.upload.fail(Failure::of_upload("internal"), now);
                }
            }),
            Change::Remove { video } => {
                let Some(id) = self.pick(video) else { return };
                self.vimeo_state.remove_video(id);
            }
            Change::RemoveFolder { folder, clips } => {
                self.vimeo_state.remove_folder(self.folders[folder % 2], clips);
            }
            Change::Advance => {
                let pace = Pace::Every(std::time::Duration::from_secs(2));
                self.vimeo_state
                    .advance(now, StageTiming { lag: std::time::Duration::ZERO, pace, playable: None });
            }
            Change::WriteAndRead => {
                let text = serde_json::to_string(&self.vimeo_state.videos).unwrap();
                self.vimeo_state.videos = serde_json::from_str(&text).unwrap();
            }
        }
    }

    fn create(&mut self, size: u64, owner: usize, folder: usize) {
        let new = NewVideo {
            owner: self.owners[owner % 2],
            app: self.vimeo_state.list_apps().next().unwrap().id,
            settings: Settings::default(),
            folder: self.folders.get(folder).copied(),
            version: new_version(size),
        };
        self.vimeo_state.add_video(new, self.now());
    }

    fn add_track(&mut self, video: usize) {
        let Some(id) = self.pick(video) else { return };
        let (kind, language, name) = ("captions".to_owned(), "en".to_owned(), "English".to_owned());
        self.vimeo_state.add_text_track(id, NewTextTrack { kind, language, name, is_active: true });
    }

    fn edit(&mut self, video: usize, edit: impl FnOnce(&mut Video)) {
        let Some(id) = self.pick(video) else { return };
        self.vimeo_state.edit_video(id, edit);
    }
}

fn new_version(size: u64) -> NewVersion {
    NewVersion { file_name: None, approach: Approach::Tus, size: Some(size), link_expires_at: None }
}

/// The secret parts of a video's links.
fn keys(video: &Video) -> impl Iterator<Item = &str> {
    let images = video.pictures.iter().filter_map(|picture| picture.image.as_ref());
    let versions = video.versions.iter().map(|version| version.upload.key.as_str());
    let tracks = video.text_tracks.iter().map(|track| track.link.key.as_str());
    versions.chain(tracks).chain(images.map(|image| image.link.key.as_str()))
}

fn key_of(video: &Video, order: Order) -> (Timestamp, String, VideoId) {
    match order {
        Order::Date => (video.created_at, String::new(), video.id),
        Order::Modified => (video.modified_at, String::new(), video.id),
        Order::Alphabetical => (Timestamp::MIN, video.settings.name.to_lowercase(), video.id),
    }
}

/// The list of those videos, by a scan of all.
fn scanned(vimeo_state: &VimeoState, order: Order, is_wanted: impl Fn(&Video) -> bool) -> Vec<VideoId> {
    let mut videos: Vec<&Video> = vimeo_state.list_videos().filter(|video| is_wanted(video)).collect();
    videos.sort_by_key(|video| key_of(video, order));
    videos.into_iter().map(|video| video.id).collect()
}

fn check(vimeo_state: &VimeoState, list: VideoList<'_>, is_wanted: impl Fn(&Video) -> bool + Copy) {
    for order in [Order::Date, Order::Modified, Order::Alphabetical] {
        let mut expected = scanned(vimeo_state, order, is_wanted);
        assert_eq!(list.len(), expected.len());
        assert_eq!(list.ids(order, Direction::Ascending).collect::<Vec<_>>(), expected);
        expected.reverse();
        assert_eq!(list.ids(order, Direction::Descending).collect::<Vec<_>>(), expected);
    }
    let wanted = || vimeo_state.list_videos().filter(|video| is_wanted(video));
    let bytes = |video: &Video| video.versions.iter().map(|version| version.upload.weight()).sum::<u64>();
    assert_eq!(list.bytes(), wanted().map(bytes).sum::<u64>());
    let closed = || wanted().filter(|video| video.settings.privacy.view != "anybody");
    let restricted = RestrictedUse { videos: closed().count() as u64, bytes: closed().map(bytes).sum() };
    assert_eq!(list.restricted(), restricted);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_agrees_with_a_scan_after_every_change(changes in changes()) {
        let mut model = Model::new();
        for change in changes {
            model.apply(change);
            let vimeo_state = &model.vimeo_state;
            for owner in &model.owners {
                check(vimeo_state, vimeo_state.videos_of(*owner), |video| video.owner == *owner);
            }
            for folder in &model.folders {
                check(vimeo_state, vimeo_state.videos_in(*folder), |video| video.folder == Some(*folder));
            }
            let links: Vec<(&str, VideoId)> = vimeo_state
                .list_videos()
                .rev()
                .flat_map(|video| keys(video).map(|key| (key, video.id)).collect::<Vec<_>>())
                .collect();
            for (key, _) in &links {
                let newest = links.iter().find(|(other, _)| other == key).map(|(_, id)| *id);
                prop_assert_eq!(vimeo_state.find_link(key).map(|(video, _)| video), newest);
            }
            prop_assert_eq!(vimeo_state.find_link("07"), None);
            let in_progress: Vec<VideoId> =
                vimeo_state.list_videos().filter(|video| video.is_in_progress()).map(|video| video.id).collect();
            prop_assert_eq!(vimeo_state.videos.in_progress(), in_progress);
            prop_assert_eq!(&vimeo_state.videos.index, &VideoTable::from(vimeo_state.videos.videos.clone()).index);
        }
    }
}
