//! Bytes on their way: from a source through this service, or from the client itself.

use std::time::Duration;

use domain::job::{FailureCode, Finishing, JobState, Progress, Refusal, Sending, SourceKind};
use seal::envelope::{Purpose, SealedAs};
use tokio::time::sleep;
use vimeo::{Chunk, LinkFailure, UploadError, UploadLink, UploadStatus};

use super::CALL_TIMEOUT;
use super::attendance::{Attendance, Step, failure};
use super::held::{Change, Due, Interrupt, Trouble};
use super::refusals::missing;
use super::relay::Feed;
use super::source_stream::Unopened;
use super::sources;
use egress::SourceError;

/// So many troubles in a row are sat out before the job is given back for others to run meanwhile.
pub(super) const TRIES: u32 = 6;
/// How many times in a row Vimeo may refuse a request that sends bytes before the upload restarts.
const REFUSED_TRIES: u32 = 2;
/// The first pause after a trouble with the link; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest of these pauses.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// How long nothing may move before a transfer counts as broken off.
const STALL: Duration = Duration::from_mins(1);
/// How often a client's progress is looked at while it sends, and at the most seldom.
const WATCH_PAUSE: Duration = Duration::from_secs(2);
const WATCH_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What Vimeo was asked and said, or what follows from its not saying.
enum Asked {
    Offset(u64),
    Step(Step),
}

impl Attendance<'_> {
    pub(super) async fn send(&mut self, sending: Sending) -> Result<Step, Interrupt> {
        let Some(link) = self.open_link(sending).await? else {
            tracing::warn!(job = %self.held.job.id, "the upload link of a job cannot be decrypted");
            return self.link_is_gone(sending).await;
        };
        match self.held.job.source {
            SourceKind::Url => {
                let step = self.relay(sending, &link).await;
                self.held.meter.stop();
                step
            }
            SourceKind::Client => self.watch(sending, &link).await,
        }
    }

    async fn open_link(&self, sending: Sending) -> Result<Option<UploadLink>, Interrupt> {
        let Some(sealed) = &self.held.link else { return Ok(None) };
        let key = self.app.account_key(&self.held.job.account_id).await.map_err(super::interrupt)?;
        let sealed_as = SealedAs {
            purpose: Purpose::JobLink,
            record: self.held.job.id.as_str(),
            version: u64::from(sending.restarts),
        };
        let opened = key.open(sealed_as, sealed).ok();
        let text = opened.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        Ok(text.and_then(|text| UploadLink::parse(text, self.uploads.client.link_rules()).ok()))
    }

    /// Sends until Vimeo holds everything, or a trouble lasts.
    async fn relay(&mut self, mut sending: Sending, link: &UploadLink) -> Result<Step, Interrupt> {
        let mut feed: Option<Feed> = None;
        let mut troubles = 0;
        let mut offset = match self.ask_offset(sending, link, 0).await? {
            Asked::Offset(offset) => offset,
            Asked::Step(step) => return Ok(step),
        };
        loop {
            sending = match sending.acknowledge(offset) {
                Ok(Progress::More(sending)) => {
                    self.held.job.state = JobState::Sending(sending);
                    sending
                }
                Ok(Progress::Whole(finishing)) => return self.all_is_sent(finishing).await,
                Err(error) => {
                    tracing::error!(job = %self.held.job.id, %error, "Vimeo reported an impossible state of an upload");
                    return self.link_is_gone(sending).await;
                }
            };
            let current = match feed.take().filter(|feed| feed.offset() == offset) {
                Some(feed) => feed,
                None => match self.open_source_patiently(sending, offset).await? {
                    Ok(feed) => feed,
                    Err(Unopened::Step(step)) => return Ok(step),
                    Err(Unopened::Restart(reason)) => return self.begin_source_again(sending, reason).await,
                },
            };
            let length = self.uploads.options.chunk_bytes.min(sending.size - offset).min(current.piece_max());
            self.held.meter.start(offset);
            let body = current.piece(length, self.held.meter.clone());
            let sent = self.uploads.client.send_chunk(link, Chunk { offset, length }, body, STALL).await;
            let failed = match sent {
                // Taken for good, and not a byte of it kept: asked again, after a pause.
                Ok(reached) if reached == offset => UploadError::Link(LinkFailure::Incoherent),
                Ok(reached) => {
                    feed = Some(current).filter(|_| reached == offset + length);
                    troubles = 0;
                    offset = reached;
                    self.note_progress(Sending { sent: offset, ..sending }).await?;
                    continue;
                }
                Err(failed) => failed,
            };
            tracing::debug!(job = %self.held.job.id, ?failed, offset, "Vimeo did not accept a part of an upload");
            let is_about_source = !matches!(failed, UploadError::Link(_));
            sending = self.count_what_left(sending);
            if let Some(step) = self.judge_unsent(sending, failed, troubles).await? {
                return Ok(step);
            }
            if is_about_source {
                self.pause_for_source(troubles).await;
            } else {
                sleep(pause_after(troubles)).await;
            }
            troubles += 1;
            let before = offset;
            offset = match self.ask_offset(sending, link, before).await? {
                Asked::Offset(offset) => offset,
                Asked::Step(step) => return Ok(step),
            };
            if offset > before {
                troubles = 0;
                self.note_progress(Sending { sent: offset, ..sending }).await?;
            }
        }
    }

    /// What follows from a piece that was not taken; `None`: to ask how far it came, and to go on.
    async fn judge_unsent(
        &mut self,
        sending: Sending,
        unsent: UploadError<SourceError>,
        troubles: u32,
    ) -> Result<Option<Step>, Interrupt> {
        let step = match unsent {
            UploadError::Link(LinkFailure::Gone) => self.link_is_gone(sending).await?,
            // Once is no reason to begin again: what it holds then is asked first.
            UploadError::Link(failed @ (LinkFailure::TooLarge | LinkFailure::ProtocolRefused(_)))
                if troubles >= REFUSED_TRIES =>
            {
                tracing::warn!(job = %self.held.job.id, %failed, "Vimeo refuses the bytes of an upload");
                self.link_is_gone(sending).await?
            }
            UploadError::Link(_) if troubles >= TRIES => self.link_trouble(sending).await?,
            UploadError::Link(_) => return Ok(None),
            UploadError::Source(error @ SourceError::Changed) => {
                self.begin_source_again(sending, error).await?
            }
            // Its slot is for others meanwhile, and what it gave is no progress.
            UploadError::Source(error @ SourceError::TooSlow) => sources::step_of(error),
            UploadError::SourceStalled => match self.uploads.outbound.record_wait(&self.reading, STALL) {
                Err(error) => sources::step_of(error),
                Ok(()) => return Ok(None),
            },
            UploadError::Source(_) | UploadError::SourceTruncated if troubles < TRIES => return Ok(None),
            UploadError::Source(error) => sources::step_of(error),
            UploadError::SourceTruncated => sources::step_of(SourceError::EndedEarly),
        };
        Ok(Some(step))
    }

    /// The link is out of order for now. Where all bytes may be there, the video may know more.
    async fn link_trouble(&mut self, sending: Sending) -> Result<Step, Interrupt> {
        let may_be_whole = sending.may_be_whole() || self.held.job.source == SourceKind::Client;
        if may_be_whole
            && let Ok(Some(video)) = self.opened.session.find_video(sending.video, CALL_TIMEOUT).await
            && video.upload == UploadStatus::Complete
        {
            return self.all_bytes_are_there(sending).await;
        }
        let message = "Vimeo did not accept the bytes in time.";
        Ok(Step::Trouble(failure(FailureCode::VimeoUnavailable, message)))
    }

    async fn all_bytes_are_there(&mut self, sending: Sending) -> Result<Step, Interrupt> {
        self.all_is_sent(Finishing { video: sending.video, size: sending.size }).await
    }

    /// What Vimeo holds. It may not be less than it has acknowledged before.
    async fn ask_offset(
        &mut self,
        sending: Sending,
        link: &UploadLink,
        acknowledged: u64,
    ) -> Result<Asked, Interrupt> {
        for trouble in 0..=TRIES {
            let step = match self.uploads.client.offset(link, CALL_TIMEOUT).await {
                Ok(held) if is_coherent(held, sending.size, acknowledged) => {
                    return Ok(Asked::Offset(held.offset));
                }
                Ok(held) => {
                    if trouble < TRIES {
                        sleep(pause_after(trouble)).await;
                        continue;
                    }
                    tracing::error!(
                        job = %self.held.job.id, ?held, acknowledged, size = sending.size,
                        "Vimeo reported an impossible state of an upload"
                    );
                    self.link_is_gone(sending).await?
                }
                Err(LinkFailure::Gone) => self.link_is_gone(sending).await?,
                Err(failed) => {
                    tracing::debug!(job = %self.held.job.id, ?failed, "Vimeo did not report the offset of an upload");
                    if trouble < TRIES {
                        sleep(pause_after(trouble)).await;
                        continue;
                    }
                    self.link_trouble(sending).await?
                }
            };
            return Ok(Asked::Step(step));
        }
        Ok(Asked::Step(self.link_trouble(sending).await?))
    }

    /// How far the bytes have come that left, taken in or not: when all have left, the video may be whole.
    fn count_what_left(&mut self, sending: Sending) -> Sending {
        let left = self.held.meter.running().unwrap_or(sending.sent);
        let sending = Sending { sent: left.clamp(sending.sent, sending.size), ..sending };
        if sending.may_be_whole() {
            self.held.job.state = JobState::Sending(sending);
        }
        sending
    }

    /// The link takes nothing any more: because the video is whole, or because it is lost. The video decides; where all
    /// bytes may be there, it is asked again for a while, and is never given up for another one.
    async fn link_is_gone(&mut self, sending: Sending) -> Result<Step, Interrupt> {
        // How much a client has sent is known to the client alone.
        let may_be_whole = sending.may_be_whole() || self.held.job.source == SourceKind::Client;
        match self.opened.session.find_video(sending.video, CALL_TIMEOUT).await {
            Ok(Some(video)) if video.upload == UploadStatus::Complete => {
                self.all_is_sent(Finishing { video: sending.video, size: sending.size }).await
            }
            Ok(Some(_)) if may_be_whole => {
                self.held.job.troubles = self.held.job.troubles.found();
                let message =
                    "Vimeo's upload link no longer works, and Vimeo does not confirm that it has all bytes.";
                Ok(Step::Refused(failure(FailureCode::UploadLost, message), Refusal::Other))
            }
            Ok(None) if may_be_whole => Ok(missing()),
            Ok(_) => self.restart(sending).await,
            Err(failed) => Ok(self.step_of_whole(failed)),
        }
    }

    /// Begins again with another placeholder, if that has not happened too often.
    pub(super) async fn restart(&mut self, sending: Sending) -> Result<Step, Interrupt> {
        let Some(accepted) = sending.restart() else {
            return Ok(Step::Fail(failure(FailureCode::UploadLost, "Vimeo lost the upload.")));
        };
        self.held.advance(JobState::Accepted(accepted)).await?;
        Ok(Step::Go)
    }

    /// Looks how far the client is that sends its bytes itself.
    async fn watch(&mut self, sending: Sending, link: &UploadLink) -> Result<Step, Interrupt> {
        let now = self.app.clock.now();
        let idle_seconds = now.seconds_after(self.held.job.troubles.well_at);
        let is_idle = idle_seconds > self.uploads.options.link_patience.as_secs();
        let held = match self.uploads.client.offset(link, CALL_TIMEOUT).await {
            Ok(held) => held,
            Err(LinkFailure::Gone) => return self.link_is_gone(sending).await,
            // The client holds it.
            Err(LinkFailure::Locked) if !is_idle => return Ok(Step::Wait(WATCH_PAUSE)),
            Err(_) => return self.link_trouble(sending).await,
        };
        if !is_coherent(held, sending.size, sending.sent) {
            tracing::error!(job = %self.held.job.id, ?held, "Vimeo reported an impossible state of a client's upload");
            return self.link_is_gone(sending).await;
        }
        self.held.job.troubles = self.held.job.troubles.accepted();
        match sending.acknowledge(held.offset) {
            Ok(Progress::Whole(finishing)) => {
                self.held.advance(JobState::Finishing(finishing)).await?;
                Ok(Step::Go)
            }
            Ok(Progress::More(more)) if more.sent != sending.sent => {
                let seconds = now.seconds_after(self.held.job.updated_at).max(1);
                self.held.job.bytes_per_second = Some(more.sent.saturating_sub(sending.sent) / seconds);
                let change =
                    Change { due: Some(Due::In(WATCH_PAUSE)), troubles: Trouble::None, ..Change::default() };
                self.held.settle(JobState::Sending(more), change).await?;
                // Given back: this attendance is over.
                Err(Interrupt::Done)
            }
            Ok(Progress::More(_)) if is_idle => Ok(Step::Fail(failure(
                FailureCode::NothingSent,
                "The client did not send its bytes in time.",
            ))),
            Ok(Progress::More(_)) => {
                self.held.job.bytes_per_second = None;
                let pause = Duration::from_secs(idle_seconds / 10).clamp(WATCH_PAUSE, WATCH_PAUSE_MAX);
                Ok(Step::Wait(pause))
            }
            Err(error) => {
                tracing::error!(job = %self.held.job.id, %error, "Vimeo reported an impossible state of a client's upload");
                self.link_is_gone(sending).await
            }
        }
    }
}

/// Whether this can be what Vimeo holds of a file of `size` bytes, of which it has acknowledged this many.
fn is_coherent(held: vimeo::RemoteOffset, size: u64, acknowledged: u64) -> bool {
    held.offset >= acknowledged && held.length.is_none_or(|length| length == size)
}

/// Twice as long with each trouble.
pub(super) fn pause_after(troubles: u32) -> Duration {
    PAUSE.saturating_mul(1_u32.checked_shl(troubles).unwrap_or(u32::MAX)).min(PAUSE_MAX)
}
