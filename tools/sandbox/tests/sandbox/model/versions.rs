//! Steps with versions of videos.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use super::{ModelRun, Outcome, Version};

impl ModelRun {
    /// Records the first version of a video.
    pub(super) async fn note_first_version(&mut self, video: usize, link: Option<usize>) -> Outcome {
        let path = format!("{}/versions", self.model.videos[video].uri);
        let list = self.api("GET", &path, &Value::Null).await?.json();
        prop_assert_eq!(&list["total"], 1);
        self.note_version(video, &list["data"][0], link);
        Ok(())
    }

    pub(super) fn note_version(&mut self, video: usize, shown: &Value, link: Option<usize>) {
        let uri = shown["uri"].as_str().unwrap().to_owned();
        self.model.versions.push(Version { uri, video, link, is_deleted: false });
    }

    fn is_version_gone(&self, at: usize) -> bool {
        let version = &self.model.versions[at];
        version.is_deleted || self.model.videos[version.video].is_deleted
    }

    pub(super) async fn show_version(&mut self, version: &Index) -> Outcome {
        if self.model.versions.is_empty() {
            return Ok(());
        }
        self.check_version(version.index(self.model.versions.len())).await
    }

    pub(super) async fn check_version(&mut self, at: usize) -> Outcome {
        let uri = self.model.versions[at].uri.clone();
        let reply = self.api("GET", &uri, &Value::Null).await?;
        prop_assert_eq!(reply.status, if self.is_version_gone(at) { 404 } else { 200 }, "{}", reply.text());
        Ok(())
    }

    pub(super) async fn drop_version(&mut self, version: &Index) -> Outcome {
        if self.model.versions.is_empty() {
            return Ok(());
        }
        let at = version.index(self.model.versions.len());
        let uri = self.model.versions[at].uri.clone();
        let is_played = self.is_played(&uri).await?;
        let reply = self.api("DELETE", &uri, &Value::Null).await?;
        let stays = self.is_version_gone(at) || is_played;
        prop_assert_eq!(reply.status, if stays { 404 } else { 204 }, "{}", reply.text());
        if !stays {
            self.model.versions[at].is_deleted = true;
            if let Some(link) = self.model.versions[at].link {
                self.model.links[link].is_dead = true;
            }
        }
        Ok(())
    }

    async fn is_played(&mut self, uri: &str) -> Result<bool, TestCaseError> {
        let reply = self.api("GET", uri, &Value::Null).await?;
        Ok(reply.status == 200 && reply.json()["active"] == json!(true))
    }
}
