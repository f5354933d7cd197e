//! The bytes are there: the video gets its name, its place and its rules, and last of all is opened.
//!
//! It is closed until then. Privacy, password and domains that Vimeo refuses fail the job with the video still closed;
//! other settings that it refuses become warnings. Everything here can be done twice, because a crash may come at any point.

use std::time::Duration;

use domain::job::{Failed, Failure, FailureCode, Finishing, JobState, Transcoding};
use domain::upload::{Folder, View};
use domain::video::{FolderNumber, VideoNumber};
use vimeo::{PrivacyChange, TranscodeStatus, UploadStatus, VideoChange, VideoState};

use super::CALL_TIMEOUT;
use super::attendance::{Attendance, Step, failure};
use super::creating::Discarded;
use super::held::Interrupt;
use super::refusals::{is_about_setting, missing};
use egress::video_name;

/// The name of a video that nobody named.
const UNTITLED: &str = "Untitled";
/// A video that can be played while its transcoding goes on and on counts as ready after so long.
const PLAYABLE_PATIENCE_SECONDS: u64 = 600;
/// How often the transcoding is looked at: the longer it takes, the more seldom.
const TRANSCODING_PAUSE: Duration = Duration::from_secs(2);
const TRANSCODING_PAUSE_MAX: Duration = Duration::from_mins(1);
/// Why a video that is there does not end as a completed job.
const KEPT: &str = "The video was kept, closed, at";

/// What a change that was tried led to.
enum Made {
    Yes,
    /// Vimeo says no, in these words.
    No(String),
    NotYet(Step),
}

impl Attendance<'_> {
    pub(super) async fn finish(&mut self, finishing: Finishing) -> Result<Step, Interrupt> {
        let found = match self.opened.session.find_video(finishing.video, CALL_TIMEOUT).await {
            Ok(found) => found,
            Err(failed) => return Ok(self.step_of_whole(failed)),
        };
        let Some(state) = found else { return Ok(missing()) };
        self.held.job.troubles = self.held.job.troubles.found();
        if let Some(failure) = unusable(&state) {
            return Ok(Step::Fail(failure));
        }
        if state.upload != UploadStatus::Complete {
            // All bytes were acknowledged; that the video says so may lag behind.
            let message = "Vimeo did not assemble the upload in time.";
            return Ok(Step::Trouble(failure(FailureCode::VimeoUnavailable, message)));
        }
        if let Err(step) = self.remove_duplicates(finishing.video).await {
            return Ok(step);
        }
        match self.make_settings(finishing.video).await {
            Ok(None) => self.held.advance(JobState::Transcoding(finishing.finished())).await?,
            Ok(Some(refused)) => self.keep_closed(finishing.finished(), refused).await?,
            Err(step) => return Ok(step),
        }
        Ok(Step::Go)
    }

    /// Deletes other placeholders of this job, which a creation without an answer may have left. One whose bytes are all
    /// there is kept and named: which of the two is in use cannot be known here.
    async fn remove_duplicates(&mut self, ours: VideoNumber) -> Result<(), Step> {
        let found = self.find_placeholders(Some(ours)).await.map_err(|failed| self.step_of_whole(failed))?;
        for duplicate in found {
            match self.discard_unless_whole(duplicate).await {
                Discarded::Yes => {}
                Discarded::Whole => self.held.warn(format!(
                    "{duplicate} is a second copy of the video; delete it if it is not needed."
                )),
                Discarded::NotYet(step) => return Err(step),
            }
        }
        Ok(())
    }

    /// Everything but the opening. The inner `Some`: a setting that the video may not be opened without was refused.
    async fn make_settings(&mut self, video: VideoNumber) -> Result<Option<Failure>, Step> {
        self.describe(video).await?;
        let settings = &self.opened.request.settings;
        let privacy = PrivacyChange {
            view: None,
            embed: settings.privacy.embed.map(|embed| embed.as_str().to_owned()),
            comments: settings.privacy.comments.map(|comments| comments.as_str().to_owned()),
            download: settings.privacy.is_downloadable,
            add: settings.privacy.is_addable,
        };
        match self.change_or_fail(video, &VideoChange { privacy, ..VideoChange::default() }).await {
            Made::Yes => {}
            Made::No(said) => return Ok(Some(refused("privacy", &said))),
            Made::NotYet(step) => return Err(step),
        }
        for domain in self.opened.request.settings.embed_domains.clone() {
            let added = self.opened.session.add_domain(video, domain.as_str(), CALL_TIMEOUT).await;
            match self.judge_or_fail(added) {
                Made::Yes => {}
                Made::No(said) => return Ok(Some(refused("embed_domains", &said))),
                Made::NotYet(step) => return Err(step),
            }
        }
        self.place(video).await?;
        Ok(None)
    }

    /// Name, description, licence, language and ratings: together, and if that is refused, each alone.
    async fn describe(&mut self, video: VideoNumber) -> Result<(), Step> {
        let settings = &self.opened.request.settings;
        let name =
            settings.name.as_ref().map_or_else(|| self.name_of_source(), |name| name.as_str().to_owned());
        let ratings: Vec<_> =
            settings.content_rating.iter().map(|rating| rating.as_str().to_owned()).collect();
        let all = VideoChange {
            name: Some(name),
            description: settings.description.as_ref().map(|text| text.as_str().to_owned()),
            license: settings.license.map(|license| license.as_str().to_owned()),
            locale: settings.locale.as_ref().map(|locale| locale.as_str().to_owned()),
            content_rating: (!ratings.is_empty()).then_some(ratings),
            ..VideoChange::default()
        };
        match self.change(video, &all).await {
            Made::Yes => return Ok(()),
            Made::No(_) => {}
            Made::NotYet(step) => return Err(step),
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
                Made::Yes => {}
                Made::No(said) => self.held.warn(format!("{field} was refused by Vimeo: {said}")),
                Made::NotYet(step) => return Err(step),
            }
        }
        Ok(())
    }

    /// A name for a video that nobody named: that of the source's file.
    fn name_of_source(&self) -> String {
        let super::request::RequestedSource::Url(url) = &self.opened.request.source else {
            return UNTITLED.to_owned();
        };
        let url = super::sources::read_address(&self.uploads.outbound, url).ok();
        let name = url.and_then(|url| video_name(None, url.shown()));
        name.map_or_else(|| UNTITLED.to_owned(), |name| name.as_str().to_owned())
    }

    /// Into its folder, which is made if it is named and missing.
    async fn place(&mut self, video: VideoNumber) -> Result<(), Step> {
        let Some(folder) = self.opened.request.settings.folder.clone() else { return Ok(()) };
        let placed = match self.find_or_make_folder(&folder).await {
            Ok(folder) => self.opened.session.put_in_folder(folder, video, CALL_TIMEOUT).await,
            Err(failed) => Err(failed),
        };
        let said = match placed {
            Ok(()) => return Ok(()),
            Err(vimeo::Failure::NotFound) => "the folder does not exist".to_owned(),
            Err(
                failed @ (vimeo::Failure::LacksScope(_)
                | vimeo::Failure::Refused(_)
                | vimeo::Failure::Quota(_)),
            ) => failed.to_string(),
            Err(failed) => return Err(self.step_of_whole(failed)),
        };
        self.held.warn(format!("The video could not be put into its folder: {said}"));
        Ok(())
    }

    async fn find_or_make_folder(&self, folder: &Folder) -> Result<FolderNumber, vimeo::Failure> {
        let name = match folder {
            Folder::Number(number) => return Ok(*number),
            Folder::Named(name) => name.as_str(),
        };
        let _one_at_a_time = self.opened.shared.folders.lock().await;
        match self.opened.session.find_folder_by_name(name, CALL_TIMEOUT).await? {
            Some(found) => Ok(found),
            None => self.opened.session.create_folder(name, CALL_TIMEOUT).await,
        }
    }

    async fn change(&self, video: VideoNumber, change: &VideoChange) -> Made {
        if change.is_empty() {
            return Made::Yes;
        }
        let changed = self.opened.session.change_video(video, change, CALL_TIMEOUT).await;
        self.judge(changed)
    }

    /// The same for what the video may not be opened without: a scope that is missing is no refusal of the setting.
    async fn change_or_fail(&self, video: VideoNumber, change: &VideoChange) -> Made {
        if change.is_empty() {
            return Made::Yes;
        }
        let changed = self.opened.session.change_video(video, change, CALL_TIMEOUT).await;
        self.judge_or_fail(changed)
    }

    fn judge_or_fail(&self, made: Result<(), vimeo::Failure>) -> Made {
        match made {
            Err(failed @ vimeo::Failure::LacksScope(_)) => Made::NotYet(self.step_of_whole(failed)),
            made => self.judge(made),
        }
    }

    fn judge(&self, made: Result<(), vimeo::Failure>) -> Made {
        match made {
            Ok(()) => Made::Yes,
            Err(vimeo::Failure::Refused(said)) if !is_about_setting(&said) => {
                Made::NotYet(self.step_of_whole(vimeo::Failure::Refused(said)))
            }
            Err(
                failed @ (vimeo::Failure::LacksScope(_)
                | vimeo::Failure::Refused(_)
                | vimeo::Failure::Quota(_)),
            ) => Made::No(in_words(&failed)),
            Err(failed) => Made::NotYet(self.step_of_whole(failed)),
        }
    }

    pub(super) async fn keep_closed(
        &mut self,
        video: Transcoding,
        refused: Failure,
    ) -> Result<(), Interrupt> {
        let failure = Failure { message: format!("{} {KEPT} {}.", refused.message, video.video), ..refused };
        let failed: Failed = video.kept_closed(failure);
        self.enter(JobState::Failed(failed)).await
    }

    /// Waits until Vimeo has made the video playable, and opens it.
    pub(super) async fn await_transcoding(&mut self, transcoding: Transcoding) -> Result<Step, Interrupt> {
        let found = match self.opened.session.find_video(transcoding.video, CALL_TIMEOUT).await {
            Ok(found) => found,
            Err(failed) => return Ok(self.step_of_whole(failed)),
        };
        let Some(state) = found else { return Ok(missing()) };
        self.held.job.troubles = self.held.job.troubles.found();
        if let Some(failure) = unusable(&state) {
            return Ok(Step::Fail(failure));
        }
        let waited_seconds = self.app.clock.now().seconds_after(self.held.job.troubles.well_at);
        let is_ready = state.transcode == TranscodeStatus::Complete
            || (state.is_playable && waited_seconds > PLAYABLE_PATIENCE_SECONDS);
        if !is_ready {
            if waited_seconds > self.uploads.options.patience.as_secs() {
                let message = "Vimeo did not make the video playable in time.";
                self.keep_closed(transcoding, failure(FailureCode::VimeoUnavailable, message)).await?;
                return Ok(Step::Go);
            }
            self.held.job.troubles = self.held.job.troubles.accepted();
            let pause =
                Duration::from_secs(waited_seconds / 10).clamp(TRANSCODING_PAUSE, TRANSCODING_PAUSE_MAX);
            return Ok(Step::Wait(pause));
        }
        if let Err(step) = self.remove_duplicates(transcoding.video).await {
            return Ok(step);
        }
        // Each time makes another one: not again when what follows is tried again.
        let is_first_time = self.held.job.troubles.count == 0;
        if let Some(moment) = self.opened.request.settings.thumbnail_at.filter(|_| is_first_time) {
            let moment = Duration::from_millis(moment.as_millis());
            let made = self.opened.session.set_thumbnail(transcoding.video, moment, CALL_TIMEOUT).await;
            match self.judge(made) {
                Made::Yes => {}
                Made::No(said) => self.held.warn(format!("The thumbnail could not be created: {said}")),
                Made::NotYet(step) => return Ok(step),
            }
        }
        self.open_video(transcoding).await
    }

    /// The last step of all: whoever may watch the video can.
    async fn open_video(&mut self, transcoding: Transcoding) -> Result<Step, Interrupt> {
        let settings = &self.opened.request.settings;
        let view = settings.privacy.view.unwrap_or(View::Anybody);
        let privacy = PrivacyChange { view: Some(view.as_str().to_owned()), ..PrivacyChange::default() };
        let password = settings.password.as_ref().map(|password| password.as_secret().clone());
        // A cancelled job's video is not opened any more.
        self.held.assure().await?;
        match self
            .change_or_fail(transcoding.video, &VideoChange { privacy, password, ..VideoChange::default() })
            .await
        {
            Made::Yes => {}
            Made::No(said) => {
                let field =
                    if view == View::Password { "privacy.view or the password" } else { "privacy.view" };
                self.keep_closed(transcoding, refused(field, &said)).await?;
                return Ok(Step::Go);
            }
            Made::NotYet(step) => return Ok(step),
        }
        // Only now: the page of an unlisted video has another address than before.
        match self.opened.session.find_video(transcoding.video, CALL_TIMEOUT).await {
            Ok(Some(state)) if state.view.as_deref().is_some_and(|shown| shown != view.as_str()) => {
                let shown = state.view.unwrap_or_default();
                let message = format!(
                    "Vimeo accepted the change but shows privacy.view as {shown}; check {}.",
                    transcoding.video
                );
                let failed = transcoding.kept_closed(failure(FailureCode::SettingRefused, message));
                self.enter(JobState::Failed(failed)).await?;
                Ok(Step::Go)
            }
            Ok(Some(state)) => {
                if state.has_untrusted_links {
                    self.held
                        .warn("Vimeo named a page of the video that is not at vimeo.com; it was left out.");
                }
                let completed = transcoding.completed(state.link.unwrap_or_default(), state.player);
                self.enter(JobState::Completed(completed)).await?;
                Ok(Step::Go)
            }
            Ok(None) => Ok(missing()),
            Err(failed) => Ok(self.step_of_whole(failed)),
        }
    }
}

fn refused(field: &str, said: &str) -> Failure {
    failure(FailureCode::SettingRefused, format!("Vimeo refused {field}: {}.", said.trim_end_matches('.')))
}

/// What Vimeo says, with what it says of single parameters.
fn in_words(failed: &vimeo::Failure) -> String {
    match failed {
        vimeo::Failure::Refused(said) | vimeo::Failure::Quota(said) if !said.parameters.is_empty() => {
            let parameters = said.parameters.iter().map(|found| format!("{} {}", found.field, found.text));
            parameters.collect::<Vec<_>>().join("; ")
        }
        failed => failed.to_string(),
    }
}

/// Why Vimeo cannot use the file, if it cannot.
fn unusable(state: &VideoState) -> Option<Failure> {
    let fail = |message: String| Some(failure(FailureCode::FileUnusable, message));
    match (&state.upload, state.transcode, state.failed_status) {
        (UploadStatus::Failed(Some(code)), _, _) => fail(format!("Vimeo cannot use the file: {code}.")),
        (UploadStatus::Failed(None), _, _) => fail("Vimeo cannot use the file.".to_owned()),
        (UploadStatus::Cancelled, _, _) => fail("Vimeo cancelled the upload.".to_owned()),
        (_, TranscodeStatus::Failed, _) => fail("Vimeo could not transcode the file.".to_owned()),
        (_, _, Some(status @ ("quota_exceeded" | "total_cap_exceeded"))) => Some(failure(
            FailureCode::QuotaExceeded,
            format!("Vimeo refused the video after its upload: {status}."),
        )),
        (_, _, Some(status)) => fail(format!("Vimeo cannot use the file: {status}.")),
        _ => None,
    }
}
