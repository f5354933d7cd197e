//! Bytes on their way: from a source through this service, or from the client itself.

use std::time::Duration;

use domain::job::{FailureCode, Fetch, Finishing, JobState, Progress, Sending, SourceKind};
use seal::envelope::{Purpose, SealedAs};
use tokio::time::sleep;
use vimeo::{LinkFailure, Piece, Unsent, UploadLink, UploadStatus};

use super::CALL_TIMEOUT;
use super::attendance::{Attendance, Step, failure};
use super::held::{Change, Due, Interrupt, Trouble};
use super::relay::Feed;
use super::request::RequestedSource;
use super::sources;
use crate::outbound::SourceError;

/// So many troubles in a row are sat out before the job is given back for others to run meanwhile.
const TRIES: u32 = 6;
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
            tracing::warn!(job = %self.held.job.id, "the upload link of a job does not open");
            return self.restart(sending).await;
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
                Ok(Progress::More(sending)) => sending,
                Ok(Progress::Whole(finishing)) => {
                    self.held.advance(JobState::Finishing(finishing)).await?;
                    return Ok(Step::Go);
                }
                Err(error) => {
                    tracing::error!(job = %self.held.job.id, %error, "an upload is begun anew");
                    return self.restart(sending).await;
                }
            };
            let current = match feed.take().filter(|feed| feed.offset() == offset) {
                Some(feed) => feed,
                None => match self.open_source_patiently(offset).await {
                    Ok(feed) => feed,
                    Err(Some(step)) => return Ok(step),
                    Err(None) => return self.begin_source_anew(sending).await,
                },
            };
            let length = self.uploads.options.chunk_bytes.min(sending.size - offset);
            self.held.meter.start(offset);
            let body = current.piece(length, self.held.meter.clone());
            let sent = self.uploads.client.send(link, Piece { offset, length }, body, STALL).await;
            let failed = match sent {
                // Taken for good, and not a byte of it kept: asked again, after a pause.
                Ok(reached) if reached == offset => Unsent::Link(LinkFailure::Incoherent),
                Ok(reached) => {
                    feed = Some(current).filter(|_| reached == offset + length);
                    troubles = 0;
                    offset = reached;
                    self.held
                        .settle(JobState::Sending(Sending { sent: offset, ..sending }), Change::default())
                        .await?;
                    continue;
                }
                Err(failed) => failed,
            };
            tracing::debug!(job = %self.held.job.id, ?failed, offset, "a piece of an upload was not taken");
            if let Some(step) = self.judge_unsent(sending, failed, troubles).await? {
                return Ok(step);
            }
            sleep(pause_after(troubles)).await;
            troubles += 1;
            let before = offset;
            offset = match self.ask_offset(sending, link, before).await? {
                Asked::Offset(offset) => offset,
                Asked::Step(step) => return Ok(step),
            };
            if offset > before {
                troubles = 0;
                self.held
                    .settle(JobState::Sending(Sending { sent: offset, ..sending }), Change::default())
                    .await?;
            }
        }
    }

    /// What follows from a piece that was not taken; `None`: to ask how far it came, and to go on.
    async fn judge_unsent(
        &mut self,
        sending: Sending,
        unsent: Unsent<SourceError>,
        troubles: u32,
    ) -> Result<Option<Step>, Interrupt> {
        let step = match unsent {
            Unsent::Link(LinkFailure::Gone) => self.link_is_gone(sending).await?,
            Unsent::Link(failed @ (LinkFailure::TooLarge | LinkFailure::ProtocolRefused(_))) => {
                tracing::warn!(job = %self.held.job.id, %failed, "Vimeo refuses bytes; the upload is begun anew");
                self.restart(sending).await?
            }
            Unsent::Link(_) if troubles >= TRIES => Self::link_trouble(),
            Unsent::Link(_) => return Ok(None),
            Unsent::Source(error) => match sources::step_of(error) {
                Step::Trouble(_) if troubles < TRIES => return Ok(None),
                step => step,
            },
            Unsent::SourceShort | Unsent::SourceStalled => match sources::step_of(SourceError::Broken) {
                Step::Trouble(_) if troubles < TRIES => return Ok(None),
                step => step,
            },
        };
        Ok(Some(step))
    }

    fn link_trouble() -> Step {
        Step::Trouble(failure(FailureCode::VimeoUnavailable, "Vimeo did not take the bytes for too long."))
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
                Ok(held) if held.length.is_some_and(|length| length != sending.size) => {
                    tracing::error!(job = %self.held.job.id, "Vimeo's link is for a file of another length");
                    self.restart(sending).await?
                }
                Ok(held) if held.offset < acknowledged => {
                    tracing::error!(
                        job = %self.held.job.id, acknowledged, held = held.offset,
                        "Vimeo holds less than it has acknowledged; the upload is begun anew"
                    );
                    self.restart(sending).await?
                }
                Ok(held) => return Ok(Asked::Offset(held.offset)),
                Err(LinkFailure::Gone) => self.link_is_gone(sending).await?,
                Err(failed) => {
                    tracing::debug!(job = %self.held.job.id, ?failed, "an upload's offset was not told");
                    if trouble < TRIES {
                        sleep(pause_after(trouble)).await;
                        continue;
                    }
                    Self::link_trouble()
                }
            };
            return Ok(Asked::Step(step));
        }
        Ok(Asked::Step(Self::link_trouble()))
    }

    /// The source from this offset on, asked for more than once: one refusal is no reason to give up what is on its way.
    async fn open_source_patiently(&mut self, offset: u64) -> Result<Feed, Option<Step>> {
        let mut tries = 0;
        loop {
            match self.open_source(offset).await {
                Err(Some(Step::Trouble(_))) if tries < TRIES => {
                    sleep(pause_after(tries)).await;
                    tries += 1;
                }
                opened => return opened,
            }
        }
    }

    /// What was sent cannot be gone on with, and there is no way to know whether the source is still the same file.
    async fn begin_source_anew(&mut self, sending: Sending) -> Result<Step, Interrupt> {
        if sending.restart().is_none() {
            let message = "The source broke off again and again, and cannot be read from the middle.";
            return Ok(Step::Fail(failure(FailureCode::SourceBroken, message)));
        }
        self.restart(sending).await
    }

    /// The source from this offset on. `Err(None)`: it cannot be read from there, only from its beginning.
    async fn open_source(&mut self, offset: u64) -> Result<Feed, Option<Step>> {
        let unreadable =
            || Some(Step::Fail(failure(FailureCode::Unreadable, "The job's source is not known.")));
        let (RequestedSource::Url(url), Some(facts)) = (&self.opened.request.source, &self.held.job.facts)
        else {
            return Err(unreadable());
        };
        let url = sources::read_address(&self.uploads.outbound, url)
            .map_err(|failure| Some(Step::Fail(failure)))?;
        let known = sources::known(facts);
        if facts.fetch == Fetch::Spooled && self.spooled.is_none() {
            if offset > 0 && known.validator.is_none() {
                // The file that was kept is gone, and nothing tells whether this is the same one.
                return Err(None);
            }
            let spooled = sources::spool(self.uploads, &url, &known).await.map_err(Some)?;
            if spooled.length() != facts.length {
                return Err(Some(sources::step_of(SourceError::Changed)));
            }
            self.spooled = Some(spooled);
        }
        let opened = match &self.spooled {
            Some(spooled) => Ok(spooled.open(offset)),
            None => self.uploads.outbound.open(&url, offset, &known).await,
        };
        match opened {
            Ok(stream) => Ok(Feed::new(stream, offset)),
            Err(SourceError::CannotResume) => Err(None),
            Err(error) => Err(Some(sources::step_of(error))),
        }
    }

    /// The link takes nothing any more: because the video is whole, or because it is lost.
    async fn link_is_gone(&mut self, sending: Sending) -> Result<Step, Interrupt> {
        match self.opened.session.find_video(sending.video, CALL_TIMEOUT).await {
            Ok(Some(video)) if video.upload == UploadStatus::Complete => {
                let finishing = Finishing { video: sending.video, size: sending.size };
                self.held.advance(JobState::Finishing(finishing)).await?;
                Ok(Step::Go)
            }
            Ok(_) => self.restart(sending).await,
            Err(failed) => Ok(self.step_of(failed, FailureCode::VimeoRefused)),
        }
    }

    /// Begins anew with another placeholder, if that has not happened too often and the bytes are ours to send.
    async fn restart(&mut self, sending: Sending) -> Result<Step, Interrupt> {
        let again = match self.held.job.source {
            SourceKind::Url => sending.restart(),
            // The client has the old link, and would never learn of a new one.
            SourceKind::Client => None,
        };
        let Some(accepted) = again else {
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
            Err(_) => return Ok(Self::link_trouble()),
        };
        if held.offset < sending.sent || held.length.is_some_and(|length| length != sending.size) {
            tracing::error!(job = %self.held.job.id, ?held, "what Vimeo says of an upload by a client cannot be");
            return self.restart(sending).await;
        }
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
                tracing::error!(job = %self.held.job.id, %error, "an upload by a client is given up");
                self.restart(sending).await
            }
        }
    }
}

/// Twice as long with each trouble.
fn pause_after(troubles: u32) -> Duration {
    PAUSE.saturating_mul(1_u32.checked_shl(troubles).unwrap_or(u32::MAX)).min(PAUSE_MAX)
}
