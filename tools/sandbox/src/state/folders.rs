//! Folders, which Vimeo also calls projects. A video is in at most one of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Direction, FolderId, Order, Orphan, UserId, VideoId, VimeoState};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Folder {
    pub(crate) id: FolderId,
    pub(crate) owner: UserId,
    pub(crate) name: String,
    pub(crate) parent: Option<FolderId>,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) resource_key: String,
}

impl Folder {
    /// The folder's URI, in the form that Vimeo's responses have.
    pub(crate) fn uri(&self) -> String {
        format!("{}/projects/{}", self.owner, self.id.number())
    }
}

/// What happens to a folder's videos when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clips {
    Keep,
    Delete,
}

impl VimeoState {
    pub(crate) fn add_folder(
        &mut self,
        owner: UserId,
        name: String,
        parent: Option<FolderId>,
        now: Timestamp,
    ) -> &Folder {
        let id = FolderId(self.take_number());
        let resource_key = self.random_hex::<20>();
        let folder = Folder { id, owner, name, parent, created_at: now, modified_at: now, resource_key };
        self.folders.entry(id).insert_entry(folder).into_mut()
    }

    pub(crate) fn find_folder(&self, id: FolderId) -> Option<&Folder> {
        self.folders.get(&id)
    }

    pub(crate) fn find_folder_mut(&mut self, id: FolderId) -> Option<&mut Folder> {
        self.folders.get_mut(&id)
    }

    /// Every folder, oldest first.
    pub(crate) fn list_folders(&self) -> impl DoubleEndedIterator<Item = &Folder> {
        self.folders.values()
    }

    /// Removes a folder and its subfolders. Returns the uploads of removed videos.
    pub(crate) fn remove_folder(&mut self, id: FolderId, clips: Clips) -> Vec<Orphan> {
        let mut gone = vec![id];
        let mut next = 0;
        while let Some(parent) = gone.get(next).copied() {
            let below = self.folders.values().filter(|folder| folder.parent == Some(parent));
            gone.extend(below.map(|folder| folder.id));
            next += 1;
        }
        self.folders.retain(|id, _| !gone.contains(id));
        let ids = |folder: &FolderId| self.videos_in(*folder).ids(Order::Date, Direction::Ascending);
        let inside: Vec<VideoId> = gone.iter().flat_map(ids).collect();
        let mut orphans = Vec::new();
        for id in inside {
            match clips {
                Clips::Keep => {
                    self.videos.edit(id, |video| video.folder = None);
                }
                Clips::Delete => orphans.extend(self.remove_video(id)),
            }
        }
        orphans
    }
}
