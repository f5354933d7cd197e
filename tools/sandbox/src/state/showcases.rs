//! Showcases, which Vimeo's addresses call albums. A video may be in several of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ShowcaseId, UserId, VideoId, VimeoState};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Showcase {
    pub(crate) id: ShowcaseId,
    pub(crate) owner: UserId,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) resource_key: String,
    /// In the order in which they were added.
    pub(crate) videos: Vec<VideoId>,
}

impl Showcase {
    /// The showcase's URI, in the form that Vimeo's responses have.
    pub(crate) fn uri(&self) -> String {
        format!("{}/albums/{}", self.owner, self.id.number())
    }
}

impl VimeoState {
    pub(crate) fn add_showcase(&mut self, owner: UserId, name: String, now: Timestamp) -> ShowcaseId {
        let id = ShowcaseId(self.take_number());
        let showcase = Showcase {
            id,
            owner,
            name,
            description: None,
            created_at: now,
            modified_at: now,
            resource_key: self.random_hex::<20>(),
            videos: Vec::new(),
        };
        self.showcases.insert(id, showcase);
        id
    }

    pub(crate) fn find_showcase(&self, id: ShowcaseId) -> Option<&Showcase> {
        self.showcases.get(&id)
    }

    pub(crate) fn find_showcase_mut(&mut self, id: ShowcaseId) -> Option<&mut Showcase> {
        self.showcases.get_mut(&id)
    }

    pub(crate) fn remove_showcase(&mut self, id: ShowcaseId) {
        self.showcases.remove(&id);
    }

    /// Every showcase, oldest first.
    pub(crate) fn list_showcases(&self) -> impl Iterator<Item = &Showcase> {
        self.showcases.values()
    }

    /// Takes a deleted video out of all showcases.
    pub(super) fn remove_from_showcases(&mut self, video: VideoId) {
        for showcase in self.showcases.values_mut() {
            showcase.videos.retain(|member| *member != video);
        }
    }
}
