//! Steps with text tracks and tags.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::{ModelRun, Outcome, Track};
use crate::support::publication::{PNG, VTT};

const LANGUAGES: [&str; 2] = ["en", "de"];
/// How many tags a video may have.
const TAGS_MAX: usize = 20;

impl ModelRun {
    fn pick_track(&self, track: Index) -> Option<usize> {
        (!self.model.tracks.is_empty()).then(|| track.index(self.model.tracks.len()))
    }

    fn is_track_gone(&self, at: usize) -> bool {
        let track = &self.model.tracks[at];
        track.is_deleted || self.model.videos[track.video].is_deleted
    }

    /// Records that a track is active, and that the others of its language are not.
    fn note_active(&mut self, at: usize) {
        let (video, language) = (self.model.tracks[at].video, self.model.tracks[at].language);
        for (place, track) in self.model.tracks.iter_mut().enumerate() {
            if track.video == video && track.language == language {
                track.is_active = place == at;
            }
        }
    }

    pub(super) async fn make_track(&mut self, video: &Index, language: usize) -> Outcome {
        let Some(at) = self.pick(*video) else { return Ok(()) };
        let path = format!("{}/texttracks", self.model.videos[at].uri);
        let body = json!({"type": "captions", "language": LANGUAGES[language], "active": true});
        let reply = self.api("POST", &path, &body).await?;
        prop_assert_eq!(reply.status, if self.model.videos[at].is_deleted { 404 } else { 201 });
        if reply.status == 201 {
            let made = reply.json();
            let link = made["link"].as_str().unwrap();
            self.model.tracks.push(Track {
                uri: made["uri"].as_str().unwrap().to_owned(),
                path: link.strip_prefix(&self.sandbox.running.base_url).unwrap().to_owned(),
                video: at,
                language,
                is_active: true,
                is_filled: false,
                is_deleted: false,
            });
            self.note_active(self.model.tracks.len() - 1);
        }
        Ok(())
    }

    pub(super) async fn fill_track(&mut self, track: &Index, is_text: bool) -> Outcome {
        let Some(at) = self.pick_track(*track) else { return Ok(()) };
        let path = self.model.tracks[at].path.clone();
        let reply = self.connection.request("PUT", &path, &[], if is_text { VTT } else { PNG }).await;
        let expected = match (self.is_track_gone(at), is_text) {
            (true, _) => 404,
            (false, true) => 200,
            (false, false) => 400,
        };
        prop_assert_eq!(reply.status, expected, "{}", reply.text());
        self.model.tracks[at].is_filled |= expected == 200;
        Ok(())
    }

    pub(super) async fn change_track(&mut self, track: &Index, is_active: bool) -> Outcome {
        let Some(at) = self.pick_track(*track) else { return Ok(()) };
        let uri = self.model.tracks[at].uri.clone();
        let reply = self.api("PATCH", &uri, &json!({"active": is_active})).await?;
        prop_assert_eq!(reply.status, if self.is_track_gone(at) { 404 } else { 200 }, "{}", reply.text());
        if reply.status == 200 {
            self.model.tracks[at].is_active = is_active;
            if is_active {
                self.note_active(at);
            }
        }
        Ok(())
    }

    pub(super) async fn drop_track(&mut self, track: &Index) -> Outcome {
        let Some(at) = self.pick_track(*track) else { return Ok(()) };
        let uri = self.model.tracks[at].uri.clone();
        let reply = self.api("DELETE", &uri, &Value::Null).await?;
        prop_assert_eq!(reply.status, if self.is_track_gone(at) { 404 } else { 204 }, "{}", reply.text());
        self.model.tracks[at].is_deleted = true;
        Ok(())
    }

    /// A track is what the model says; the file can be read, if one was sent.
    pub(super) async fn check_track(&mut self, at: usize) -> Outcome {
        let uri = self.model.tracks[at].uri.clone();
        let reply = self.api("GET", &uri, &Value::Null).await?;
        prop_assert_eq!(reply.status, if self.is_track_gone(at) { 404 } else { 200 }, "{}", reply.text());
        if reply.status != 200 {
            return Ok(());
        }
        let (shown, track) = (reply.json(), &self.model.tracks[at]);
        prop_assert_eq!(&shown["active"], &json!(track.is_active));
        let path = shown["link"].as_str().unwrap().strip_prefix(&self.sandbox.running.base_url).unwrap();
        prop_assert_eq!(path != track.path, track.is_filled);
        if track.is_filled {
            let read = self.connection.request("GET", path, &[], b"").await;
            prop_assert_eq!((read.status, read.body.as_slice()), (200, VTT));
        }
        Ok(())
    }

    pub(super) async fn tag(&mut self, video: &Index, words: &[String]) -> Outcome {
        let Some(at) = self.pick(*video) else { return Ok(()) };
        let path = format!("{}/tags", self.model.videos[at].uri);
        let reply = self.api("PUT", &path, &json!(words)).await?;
        let video = &mut self.model.videos[at];
        let mut tags = video.tags.clone();
        for word in words {
            if !tags.contains(word) {
                tags.push(word.clone());
            }
        }
        let expected = match (video.is_deleted, tags.len() > TAGS_MAX) {
            (true, _) => 404,
            (false, true) => 403,
            (false, false) => 200,
        };
        prop_assert_eq!(reply.status, expected, "{}", reply.text());
        if expected == 200 {
            video.tags = tags;
        }
        Ok(())
    }
}
