//! Steps with folders and the videos in them.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::{Folder, Model, ModelRun, Outcome};

impl ModelRun {
    pub(super) async fn make_folder(&mut self, parent: Option<&Index>) -> Outcome {
        let mut body = json!({"name": "F"});
        let parent =
            parent.filter(|_| !self.model.folders.is_empty()).map(|at| at.index(self.model.folders.len()));
        if let Some(parent) = parent {
            body["parent_folder_uri"] = json!(self.model.folders[parent].uri);
        }
        let reply = self.api("POST", "/me/folders", &body).await?;
        let is_lost = parent.is_some_and(|parent| self.model.folders[parent].is_deleted);
        prop_assert_eq!(reply.status, if is_lost { 404 } else { 201 });
        if !is_lost {
            let uri = reply.json()["uri"].as_str().unwrap().to_owned();
            self.model.folders.push(Folder { uri, parent, is_deleted: false });
        }
        Ok(())
    }

    pub(super) async fn place(&mut self, folder: &Index, video: &Index) -> Outcome {
        let Some(at) = self.pick(*video).filter(|_| !self.model.folders.is_empty()) else { return Ok(()) };
        let folder = folder.index(self.model.folders.len());
        let path = format!("{}{}", self.model.folders[folder].uri, self.model.videos[at].uri);
        let reply = self.api("PUT", &path, &Value::Null).await?;
        let is_there = !self.model.folders[folder].is_deleted && !self.model.videos[at].is_deleted;
        prop_assert_eq!(reply.status, if is_there { 204 } else { 404 });
        if is_there {
            self.model.videos[at].folder = Some(folder);
        }
        Ok(())
    }

    pub(super) async fn drop_folder(&mut self, folder: &Index, deletes_clips: bool) -> Outcome {
        if self.model.folders.is_empty() {
            return Ok(());
        }
        let at = folder.index(self.model.folders.len());
        let path = format!("{}?should_delete_clips={deletes_clips}", self.model.folders[at].uri);
        let reply = self.api("DELETE", &path, &Value::Null).await?;
        let Model { videos, folders, .. } = &mut self.model;
        prop_assert_eq!(reply.status, if folders[at].is_deleted { 404 } else { 204 });
        if folders[at].is_deleted {
            return Ok(());
        }
        folders[at].is_deleted = true;
        // Subfolders were created after their parents.
        for below in 0..folders.len() {
            if folders[below].parent.is_some_and(|parent| folders[parent].is_deleted) {
                folders[below].is_deleted = true;
            }
        }
        for video in videos {
            if video.folder.is_some_and(|folder| folders[folder].is_deleted) {
                video.is_deleted |= deletes_clips;
                video.folder = None;
            }
        }
        Ok(())
    }
}
