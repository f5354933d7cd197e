//! From nothing to a placeholder, once: Vimeo's creation is neither conditional nor idempotent.
//!
//! That a placeholder is being made is written, with the deadline of the request, before Vimeo is asked. The
//! placeholder's name carries the job's identifier. When nobody knows whether Vimeo acted, nothing is created before
//! the deadline and a grace are over and the newest videos were looked at three times.

use std::time::Duration;

use domain::job::{
    Accepted, Completed, Creating, FailureCode, Fetch, Finishing, JobState, Looked, Sending, SourceFacts,
    Transcoding,
};
use domain::secret::Secret;
use domain::time::Timestamp;
use domain::upload::{VideoName, View};
use domain::video::VideoNumber;
use seal::envelope::{Purpose, SealedAs};
use store::SealedPart;
use vimeo::{NewPlaceholder, PlaceholderView, UploadLink, UploadStatus, VideoSummary};

use super::CALL_TIMEOUT;
use super::attendance::{Attendance, Step, failure, placeholder_name};
use super::held::{Change, Interrupt};
use super::linking::KeptWithLink;
use super::request::RequestedSource;
use super::sources::Transfer;

/// How much the clocks of Vimeo and of the nodes may differ, when the newest videos are read back to the job's beginning.
const CLOCK_DOUBT_SECONDS: i64 = 600;
/// The most pages of a hundred videos that are read back.
pub(super) const PAGES_MAX: u32 = 50;

/// What became of a placeholder that is to be deleted.
pub(super) enum Discarded {
    /// It is gone, or is named and left.
    Yes,
    /// All of its bytes are there: it was not deleted.
    Whole,
    /// It has to be tried again.
    NotYet(Step),
}

impl Attendance<'_> {
    /// Makes the placeholder.
    pub(super) async fn create(&mut self, accepted: Accepted) -> Result<Step, Interrupt> {
        if let Some(discarded) = accepted.discarded {
            return self.take_away_discarded(accepted, discarded).await;
        }
        if self.held.job.size().is_none() {
            return Ok(match self.look_at_source().await {
                Ok((facts, name)) => {
                    self.held.job.facts = Some(facts);
                    let request = self.named(name).await?;
                    let change = Change { request, ..Change::default() };
                    self.held.settle(JobState::Accepted(accepted), change).await?;
                    Step::Go
                }
                Err(step) => step,
            });
        }
        match self.create_placeholder(accepted).await? {
            Ok((sending, link)) => {
                let begun = self.begin_sending(sending, &link, None).await;
                if matches!(begun, Err(Interrupt::Lost)) {
                    self.disown(sending.video).await;
                }
                begun.map(|()| Step::Go)
            }
            Err(step) => Ok(step),
        }
    }

    /// The lease was lost while Vimeo made a placeholder. It is deleted unless whoever has the job may have found it.
    async fn disown(&self, made: VideoNumber) {
        let job = &self.held.job;
        let Ok(Some(job)) = self.app.store.find_job(&job.account_id, &job.id).await else { return };
        let is_needed = match &job.state {
            JobState::Accepted(_) | JobState::Creating(_) => true,
            JobState::Sending(Sending { video, .. })
            | JobState::Finishing(Finishing { video, .. })
            | JobState::Transcoding(Transcoding { video, .. })
            | JobState::Completed(Completed { video, .. }) => *video == made,
            JobState::Abandoning(_) | JobState::Failed(_) | JobState::Cancelled(_) => false,
        };
        if !is_needed && self.opened.session.delete_video(made, CALL_TIMEOUT).await.is_err() {
            tracing::warn!(job = %job.id, video = %made, "a placeholder of a lost lease could not be deleted");
        }
    }

    /// Asks Vimeo for a placeholder that is as closed as the customer's plan allows. The state is left at `Creating` if it
    /// was made, or may have been.
    pub(super) async fn create_placeholder(
        &mut self,
        accepted: Accepted,
    ) -> Result<Result<(Sending, UploadLink), Step>, Interrupt> {
        let size = self.held.job.size().unwrap_or(0);
        let name = placeholder_name(&self.held.job.id);
        for view in closed_views(self.opened.request.settings.privacy.view) {
            let timeout = self.uploads.options.create_timeout;
            let creating = accepted.begin_creating(self.app.clock.now().plus(timeout));
            // Durable before Vimeo is asked; and it is also the last look whether the lease is still ours.
            self.held.advance_without_progress(JobState::Creating(creating)).await?;
            // Whoever finds the job goes by the deadline that was written, however long the writing took.
            let Some(left) = left_until(self.app.clock.now(), creating.deadline_at) else {
                return Ok(Err(Step::Wait(self.pause_until(self.next_look_at(creating)))));
            };
            let password = (*view == PlaceholderView::Password).then(|| self.unknown_password());
            let new = NewPlaceholder { name: &name, size, view: *view, password: password.as_ref() };
            let failed = match self.opened.session.create_video(&new, left).await {
                Ok(made) => return Ok(Ok((creating.created(made.video, size), made.link))),
                Err(failed) => failed,
            };
            if let vimeo::Failure::Unknown(trouble) = failed {
                tracing::info!(job = %self.held.job.id, %trouble, "whether Vimeo created a placeholder is unknown");
                return Ok(Err(Step::Wait(self.pause_until(self.next_look_at(creating)))));
            }
            // Vimeo certainly made none.
            self.held.advance_without_progress(JobState::Accepted(creating.not_created())).await?;
            match failed {
                vimeo::Failure::Refused(said) if said.is_about_view() => {}
                vimeo::Failure::NotFound => {
                    let message = "Vimeo answered 404 to the creation of a video.";
                    return Ok(Err(Step::Fail(failure(FailureCode::VimeoRefused, message))));
                }
                failed => return Ok(Err(self.step_of(failed, FailureCode::VimeoRefused))),
            }
        }
        let message = "Vimeo refused every view that is as private as the requested one.";
        Ok(Err(Step::Fail(failure(FailureCode::SettingRefused, message))))
    }

    /// A password that keeps a video closed because nobody knows it.
    fn unknown_password(&self) -> Secret {
        Secret::new(format!("{:032x}", u128::from_be_bytes(self.app.randomness.bytes())))
    }

    /// Deletes the placeholder of an earlier beginning, unless its bytes turn out to be there: then the job continues with
    /// that video.
    async fn take_away_discarded(
        &mut self,
        accepted: Accepted,
        discarded: VideoNumber,
    ) -> Result<Step, Interrupt> {
        match self.discard_unless_whole(discarded).await {
            Discarded::Yes => {}
            Discarded::Whole => {
                let size = self.held.job.size().unwrap_or(0);
                self.held.advance(JobState::Finishing(Finishing { video: discarded, size })).await?;
                return Ok(Step::Go);
            }
            Discarded::NotYet(step) => return Ok(step),
        }
        self.held.advance_without_progress(JobState::Accepted(accepted.without_discarded())).await?;
        Ok(Step::Go)
    }

    /// Deletes a placeholder whose bytes are not all there, as Vimeo says. One that cannot be looked at is named and left;
    /// one that Vimeo does not find is not deleted either.
    pub(super) async fn discard_unless_whole(&mut self, video: VideoNumber) -> Discarded {
        match self.opened.session.find_video(video, CALL_TIMEOUT).await {
            Ok(Some(state)) if state.upload == UploadStatus::Complete => Discarded::Whole,
            Ok(Some(_)) => {
                tracing::info!(job = %self.held.job.id, %video, "a placeholder of an upload is deleted");
                self.discard(video).await.map_or(Discarded::Yes, Discarded::NotYet)
            }
            Ok(None) => Discarded::Yes,
            Err(vimeo::Failure::LacksScope(_) | vimeo::Failure::Refused(_) | vimeo::Failure::Quota(_)) => {
                self.held.warn_of(video);
                Discarded::Yes
            }
            Err(failed) => Discarded::NotYet(self.step_of(failed, FailureCode::VimeoRefused)),
        }
    }

    /// Deletes a placeholder that can no longer be used; `Some` if that has to be tried again.
    pub(super) async fn discard(&mut self, video: VideoNumber) -> Option<Step> {
        match self.opened.session.delete_video(video, CALL_TIMEOUT).await {
            Ok(()) | Err(vimeo::Failure::NotFound) => None,
            Err(vimeo::Failure::LacksScope(_) | vimeo::Failure::Refused(_) | vimeo::Failure::Quota(_)) => {
                self.held.warn_of(video);
                None
            }
            Err(failed) => Some(self.step_of(failed, FailureCode::VimeoRefused)),
        }
    }

    /// A video without a name is called after its file. The name is kept with what was asked for, sealed.
    async fn named(&mut self, name: Option<VideoName>) -> Result<SealedPart, Interrupt> {
        let settings = &mut self.opened.request.settings;
        if settings.name.is_some() || name.is_none() {
            return Ok(SealedPart::Kept);
        }
        settings.name = name;
        let sealed = self.app.seal_request(&self.held.job, &self.opened.request).await;
        sealed.map(SealedPart::Replaced).map_err(super::interrupt)
    }

    /// What is known of the source before its first byte is used, and what its file is called.
    async fn look_at_source(&mut self) -> Result<(SourceFacts, Option<VideoName>), Step> {
        let RequestedSource::Url(url) = &self.opened.request.source else {
            return Err(Step::Fail(failure(FailureCode::Unreadable, "The job has no source.")));
        };
        let url = super::sources::read_address(&self.uploads.outbound, url).map_err(Step::Fail)?;
        let limit = self.uploads.options.source_max_bytes;
        let looked = self.uploads.outbound.inspect(&url, limit).await;
        let (mut found, first) = looked.map_err(super::sources::step_of)?;
        match super::sources::transfer_of(first.content, self.uploads.options.spool.file_max_bytes) {
            Ok(Transfer::AsIs) => {}
            // How long it is decompressed is not known.
            Ok(Transfer::Decompressed) => found.length = None,
            Err(error) => return Err(super::sources::step_of(error)),
        }
        if let Some(length) = found.length {
            let facts = super::sources::kept(&found, length, super::sources::fetch_of(&found));
            return Ok((facts, first.name));
        }
        let spooled = super::sources::spool(self.uploads, &url, None).await;
        let spooled = spooled.map_err(super::sources::step_of)?;
        let length = spooled.length();
        let read = egress::SourceMetadata { validators: spooled.validators().clone(), ..found };
        self.spooled = Some(spooled);
        Ok((super::sources::kept(&read, length, Fetch::Spooled), first.name))
    }

    /// The placeholder is there: its link is kept, sealed, and the bytes can go.
    pub(super) async fn begin_sending(
        &mut self,
        sending: Sending,
        link: &UploadLink,
        kept: Option<KeptWithLink>,
    ) -> Result<(), Interrupt> {
        let sealed = self.seal_link(sending, link).await?;
        let (completion, answer) = kept.map(|kept| (kept.completion, kept.answer)).unzip();
        let change = Change { link: SealedPart::Replaced(sealed), answer, completion, ..Change::default() };
        self.held.settle(JobState::Sending(sending), change).await
    }

    async fn seal_link(
        &self,
        sending: Sending,
        link: &UploadLink,
    ) -> Result<domain::secret::Sealed, Interrupt> {
        let key = self.app.account_key(&self.held.job.account_id).await.map_err(super::interrupt)?;
        let sealed_as = SealedAs {
            purpose: Purpose::JobLink,
            record: self.held.job.id.as_str(),
            version: u64::from(sending.restarts),
        };
        key.seal(sealed_as, link.expose().as_bytes(), &self.app.randomness)
            .map_err(|error| super::interrupt(error.into()))
    }

    fn next_look_at(&self, creating: Creating) -> Timestamp {
        creating.next_look_at(self.uploads.options.look_grace, self.uploads.options.look_span)
    }

    /// Looks whether an earlier request made a placeholder.
    pub(super) async fn look_for_placeholder(&mut self, creating: Creating) -> Result<Step, Interrupt> {
        let look_at = self.next_look_at(creating);
        if self.app.clock.now() < look_at {
            return Ok(Step::Wait(self.pause_until(look_at)));
        }
        let found = match self.find_placeholders(creating.discarded).await {
            Ok(found) => found,
            Err(failed) => return Ok(self.step_of(failed, FailureCode::VimeoRefused)),
        };
        let size = self.held.job.size().unwrap_or(0);
        // The lowest that is there: a list may show one for a while that was deleted.
        for video in found {
            match self.opened.session.find_video(video, CALL_TIMEOUT).await {
                Ok(Some(vimeo::VideoState { upload_link: Some(link), .. })) => {
                    tracing::info!(job = %self.held.job.id, %video, "the placeholder of an earlier request was found");
                    self.begin_sending(creating.created(video, size), &link, None).await?;
                    return Ok(Step::Go);
                }
                // It is there and takes no bytes: another one is needed in its place.
                Ok(Some(_)) => {
                    let Some(accepted) = creating.created(video, size).restart() else {
                        return Ok(Step::Fail(failure(
                            FailureCode::UploadLost,
                            "Vimeo repeatedly gave no upload link.",
                        )));
                    };
                    self.held.advance_without_progress(JobState::Accepted(accepted)).await?;
                    return Ok(Step::Go);
                }
                Ok(None) => {}
                Err(failed) => return Ok(self.step_of(failed, FailureCode::VimeoRefused)),
            }
        }
        self.looked_in_vain(creating).await
    }

    async fn looked_in_vain(&mut self, creating: Creating) -> Result<Step, Interrupt> {
        match creating.looked_in_vain() {
            Looked::Again(creating) => {
                self.held.advance_without_progress(JobState::Creating(creating)).await?;
                Ok(Step::Wait(self.pause_until(self.next_look_at(creating))))
            }
            Looked::Nothing(accepted) => {
                self.held.advance_without_progress(JobState::Accepted(accepted)).await?;
                // Another placeholder is made after a pause that grows, and not for ever.
                let message = "Vimeo repeatedly did not confirm whether it had created the video.";
                Ok(Step::Trouble(failure(FailureCode::VimeoUnavailable, message)))
            }
        }
    }

    /// The videos at Vimeo that have the placeholder's name, but for one and for those that may not be deleted: among the
    /// newest, back to the job's beginning. The lowest number first.
    pub(super) async fn find_placeholders(
        &self,
        except: Option<VideoNumber>,
    ) -> Result<Vec<VideoNumber>, vimeo::Failure> {
        let name = placeholder_name(&self.held.job.id);
        let mut found = Vec::new();
        for page in 1..=PAGES_MAX {
            let listed = self.opened.session.list_newest_videos(page, CALL_TIMEOUT).await?;
            let is_past = self.is_older_than_job(&listed.videos);
            let named =
                listed.videos.into_iter().filter(|video| video.name == name && Some(video.video) != except);
            found.extend(named.map(|video| video.video));
            if is_past || listed.is_last {
                break;
            }
        }
        found.retain(|video| !self.held.is_warned_of(*video));
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Whether a list of the newest videos has come to those that are older than the job.
    pub(super) fn is_older_than_job(&self, listed: &[VideoSummary]) -> bool {
        let oldest = self.held.job.created_at.plus_seconds(-CLOCK_DOUBT_SECONDS);
        listed.iter().any(|video| video.created_at.is_some_and(|created_at| created_at < oldest))
    }
}

/// What a placeholder may be open to, from the narrowest on: never to more than the video is to be open to in the end.
fn closed_views(wanted: Option<View>) -> &'static [PlaceholderView] {
    let most = match wanted.unwrap_or(View::Anybody) {
        View::Nobody => 1,
        View::Password | View::Users | View::Contacts => 2,
        View::Disable => 3,
        View::Unlisted => 4,
        View::Anybody => 5,
    };
    PlaceholderView::ORDER.get(..most).unwrap_or(&PlaceholderView::ORDER)
}

/// How long it is until then; `None` if that is over.
fn left_until(now: Timestamp, deadline_at: Timestamp) -> Option<Duration> {
    let micros = u64::try_from(deadline_at.as_micros() - now.as_micros()).ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_never_more_open_than_its_video() {
        assert_eq!(closed_views(Some(View::Nobody)), [PlaceholderView::Nobody]);
        assert_eq!(closed_views(Some(View::Password)), [PlaceholderView::Nobody, PlaceholderView::Password]);
        assert_eq!(closed_views(Some(View::Unlisted)).last(), Some(&PlaceholderView::Unlisted));
        assert_eq!(closed_views(None), PlaceholderView::ORDER);
    }

    #[test]
    fn after_its_deadline_vimeo_is_not_asked() {
        let at = Timestamp::from_millis;
        assert_eq!(left_until(at(1_000), at(1_500)), Some(Duration::from_millis(500)));
        assert_eq!(left_until(at(1_500), at(1_500)), None);
        assert_eq!(left_until(at(9_000), at(1_500)), None);
    }
}
