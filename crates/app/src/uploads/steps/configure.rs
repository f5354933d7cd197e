//! All bytes are at Vimeo: the video gets its name, its folder and its rules, everything but its viewers.
//!
//! It is closed until it is published. Privacy, password and domains that Vimeo refuses fail the job with the video still
//! closed; other settings that it refuses become warnings. Everything here can be done twice, because a crash may come at any
//! point.

use domain::job::{Configuring, Failure, FailureCode, JobState, Target};
use domain::upload::Folder;
use domain::video::{FolderNumber, VideoNumber};
use egress::video_name;
use vimeo::{PrivacyChange, UploadStatus, VideoChange};

use super::chapters::make_chapters;
use super::parts::{Part, make_text_track, part_after};
use super::unique::retry_part;
use super::{CALL_TIMEOUT, Memory, StepContext};
use crate::uploads::failures::{
    failure, in_words, is_about_setting, missing, setting_refused, then_of_whole, unusable,
};
use crate::uploads::outcome::{JobPatch, StepOutcome, Then};
use crate::uploads::sources;

/// The name of a video that has none.
const UNTITLED: &str = "Untitled";

/// What became of a change.
pub(super) enum Changed {
    Yes,
    /// Vimeo refuses it, in these words.
    Refused(String),
    NotYet(Then),
}

/// Why the settings were not made.
enum Unset {
    /// A setting without which the video must not be opened was refused.
    Refused(Failure),
    NotYet(Then),
}

pub(super) async fn configure(
    context: &StepContext<'_>,
    memory: &mut Memory,
    configuring: Configuring,
) -> StepOutcome {
    let Target::Video(video) = configuring.target else {
        return super::replace::await_assembly(context, configuring).await;
    };
    let publication = &context.prepared.request.settings.publication;
    match part_after(publication, configuring.parts_done) {
        Some(Part::Settings) => configure_settings(context, configuring, video).await,
        Some(Part::TextTrack(track)) => make_text_track(context, memory, configuring, track).await,
        Some(Part::Chapters(chapters)) => make_chapters(context, memory, configuring, chapters).await,
        None => StepOutcome::advance(JobState::Transcoding(configuring.configured())),
    }
}

async fn configure_settings(
    context: &StepContext<'_>,
    configuring: Configuring,
    video: VideoNumber,
) -> StepOutcome {
    let found = match context.prepared.session.find_video(video, CALL_TIMEOUT).await {
        Ok(found) => found,
        Err(failed) => return context.stay(then_of_whole(failed, context.now())),
    };
    let Some(state) = found else { return context.stay(missing()) };
    let mut patch = JobPatch { is_found: true, ..JobPatch::default() };
    if let Some(failure) = unusable(&state) {
        return context.stay(Then::Fail(failure)).with(patch);
    }
    if state.upload != UploadStatus::Complete {
        return context.stay(Then::Retry(not_assembled())).with(patch);
    }
    if let Err(then) = context.remove_duplicates(configuring.target, &mut patch).await {
        return context.stay(then).with(patch);
    }
    match context.make_settings(video, &mut patch).await {
        Ok(()) => {}
        Err(Unset::Refused(failure)) => {
            return StepOutcome::advance(JobState::Failed(configuring.kept_closed(failure))).with(patch);
        }
        Err(Unset::NotYet(then)) => return context.stay(then).with(patch),
    }
    if let Err(then) = context.make_extras(video, &mut patch).await {
        return context.stay(then).with(patch);
    }
    let done = configuring.part_done();
    let publication = &context.prepared.request.settings.publication;
    // Without other parts it needs no write of its own.
    let next = match part_after(publication, done.parts_done) {
        Some(_) => JobState::Configuring(done),
        None => JobState::Transcoding(done.configured()),
    };
    StepOutcome::advance(next).with(patch)
}

/// All bytes were acknowledged; that Vimeo has assembled them may lag behind.
pub(super) fn not_assembled() -> Failure {
    failure(FailureCode::VimeoUnavailable, "Vimeo did not assemble the upload in time.")
}

impl StepContext<'_> {
    /// Everything but the viewers. One request, unless Vimeo refuses it: then each setting alone shows which one.
    async fn make_settings(&self, video: VideoNumber, patch: &mut JobPatch) -> Result<(), Unset> {
        let settings = &self.prepared.request.settings;
        let privacy = PrivacyChange {
            view: None,
            embed: settings.privacy.embed.map(|embed| embed.as_str().to_owned()),
            comments: settings.privacy.comments.map(|comments| comments.as_str().to_owned()),
            download: settings.privacy.is_downloadable,
            add: settings.privacy.is_addable,
        };
        let all = VideoChange { privacy: privacy.clone(), ..self.description() };
        match self.change(video, &all).await {
            Changed::Yes => {}
            Changed::NotYet(then) => return Err(Unset::NotYet(then)),
            Changed::Refused(_) => {
                self.describe(video, patch).await.map_err(Unset::NotYet)?;
                let change = VideoChange { privacy, ..VideoChange::default() };
                required(self.change_or_fail(video, &change).await, "privacy")?;
            }
        }
        for domain in &settings.embed_domains {
            let added = self.prepared.session.add_domain(video, domain.as_str(), CALL_TIMEOUT).await;
            required(self.judge_or_fail(added), "embed_domains")?;
        }
        self.move_to_folder(video, patch).await.map_err(Unset::NotYet)
    }

    /// Name, description, licence, language and ratings.
    fn description(&self) -> VideoChange {
        let settings = &self.prepared.request.settings;
        let name =
            settings.name.as_ref().map_or_else(|| self.name_of_source(), |name| name.as_str().to_owned());
        let ratings: Vec<_> =
            settings.content_rating.iter().map(|rating| rating.as_str().to_owned()).collect();
        VideoChange {
            name: Some(name),
            description: settings.description.as_ref().map(|text| text.as_str().to_owned()),
            license: settings.license.map(|license| license.as_str().to_owned()),
            locale: settings.locale.as_ref().map(|locale| locale.as_str().to_owned()),
            content_rating: (!ratings.is_empty()).then_some(ratings),
            ..VideoChange::default()
        }
    }

    /// The same: together, and if that is refused, each alone.
    async fn describe(&self, video: VideoNumber, patch: &mut JobPatch) -> Result<(), Then> {
        let all = self.description();
        match self.change(video, &all).await {
            Changed::Yes => return Ok(()),
            Changed::Refused(_) => {}
            Changed::NotYet(then) => return Err(then),
        }
        let VideoChange { name, description, license, locale, content_rating, .. } = all;
        let none = VideoChange::default;
        let singles = [
            ("name", VideoChange { name, ..none() }),
            ("description", VideoChange { description, ..none() }),
            ("license", VideoChange { license, ..none() }),
            ("locale", VideoChange { locale, ..none() }),
            ("content_rating", VideoChange { content_rating, ..none() }),
        ];
        for (field, single) in singles {
            match self.change(video, &single).await {
                Changed::Yes => {}
                Changed::Refused(said) => {
                    patch.warnings.push(format!("{field} was refused by Vimeo: {said}"));
                }
                Changed::NotYet(then) => return Err(then),
            }
        }
        Ok(())
    }

    /// A name for a video without one: that of the source's file.
    fn name_of_source(&self) -> String {
        let url = sources::read_source(&self.uploads.egress, &self.prepared.request.source).ok();
        let name = url.and_then(|url| video_name(None, url.shown()));
        name.map_or_else(|| UNTITLED.to_owned(), |name| name.as_str().to_owned())
    }

    /// Moves the video to its folder, which is created if it is named and missing.
    async fn move_to_folder(&self, video: VideoNumber, patch: &mut JobPatch) -> Result<(), Then> {
        let Some(folder) = &self.prepared.request.settings.folder else { return Ok(()) };
        let moved = match self.find_or_create_folder(folder).await {
            Ok(folder) => self.prepared.session.put_in_folder(folder, video, CALL_TIMEOUT).await,
            Err(failed) => Err(failed),
        };
        let said = match moved {
            Ok(()) => return Ok(()),
            Err(vimeo::Failure::NotFound) => "the folder does not exist".to_owned(),
            Err(vimeo::Failure::Unknown(error)) => return Err(self.retry_by_name(&error)),
            Err(
                failed @ (vimeo::Failure::LacksScope(_)
                | vimeo::Failure::Refused(_)
                | vimeo::Failure::Quota(_)),
            ) => failed.to_string(),
            Err(failed) => return Err(then_of_whole(failed, self.now())),
        };
        patch.warnings.push(format!("The video could not be put into its folder: {said}"));
        Ok(())
    }

    async fn find_or_create_folder(&self, folder: &Folder) -> Result<FolderNumber, vimeo::Failure> {
        let name = match folder {
            Folder::Number(number) => return Ok(*number),
            Folder::Named(name) => name.as_str(),
        };
        let session = &self.prepared.session;
        // Two jobs that look for it at once would both create it.
        let _one_at_a_time = self.prepared.shared.folders.lock().await;
        match session.find_folder_by_name(name, CALL_TIMEOUT).await? {
            Some(found) => Ok(found),
            None => session.create_folder(name, CALL_TIMEOUT).await,
        }
    }

    async fn change(&self, video: VideoNumber, change: &VideoChange) -> Changed {
        if change.is_empty() {
            return Changed::Yes;
        }
        self.judge(self.prepared.session.change_video(video, change, CALL_TIMEOUT).await)
    }

    /// The same for what the video must not be opened without: a missing scope is no refusal of the setting.
    pub(super) async fn change_or_fail(&self, video: VideoNumber, change: &VideoChange) -> Changed {
        if change.is_empty() {
            return Changed::Yes;
        }
        self.judge_or_fail(self.prepared.session.change_video(video, change, CALL_TIMEOUT).await)
    }

    fn judge_or_fail(&self, changed: Result<(), vimeo::Failure>) -> Changed {
        match changed {
            Err(failed @ vimeo::Failure::LacksScope(_)) => Changed::NotYet(then_of_whole(failed, self.now())),
            changed => self.judge(changed),
        }
    }

    /// What Vimeo said in refusing to make a part of a publication, which is about that request and not about the video; an
    /// error if the part has to be tried again.
    pub(super) fn refusal_of_part(&self, failed: vimeo::Failure) -> Result<String, Then> {
        match failed {
            vimeo::Failure::Refused(said) if said.parameters.is_empty() => Ok(said.to_string()),
            failed @ vimeo::Failure::Refused(_) => Ok(in_words(&failed)),
            // If the video itself was deleted, its next poll finds out.
            vimeo::Failure::NotFound if self.is_part_exhausted() => Ok("it answered 404.".to_owned()),
            vimeo::Failure::NotFound => Err(retry_part("a part of the publication")),
            failed => self.refusal(failed),
        }
    }

    pub(super) fn judge(&self, changed: Result<(), vimeo::Failure>) -> Changed {
        match changed.map_err(|failed| self.refusal(failed)) {
            Ok(()) => Changed::Yes,
            Err(Ok(said)) => Changed::Refused(said),
            Err(Err(then)) => Changed::NotYet(then),
        }
    }

    /// What Vimeo said in refusing a setting; an error if the request has to be made again.
    fn refusal(&self, failed: vimeo::Failure) -> Result<String, Then> {
        match failed {
            vimeo::Failure::Refused(said) if !is_about_setting(&said) => {
                Err(then_of_whole(vimeo::Failure::Refused(said), self.now()))
            }
            failed @ (vimeo::Failure::LacksScope(_)
            | vimeo::Failure::Refused(_)
            | vimeo::Failure::Quota(_)) => Ok(in_words(&failed)),
            failed => Err(then_of_whole(failed, self.now())),
        }
    }
}

fn required(changed: Changed, field: &str) -> Result<(), Unset> {
    match changed {
        Changed::Yes => Ok(()),
        Changed::Refused(said) => Err(Unset::Refused(setting_refused(field, &said))),
        Changed::NotYet(then) => Err(Unset::NotYet(then)),
    }
}
