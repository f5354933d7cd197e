//! Sends the bytes of a source to the upload link.

use std::time::Duration;

use domain::job::{FailureCode, JobState, Progress, Refusal, SourceFacts, SourceKind, Uploading, WaitingFor};
use egress::SourceError;
use futures_util::TryStreamExt as _;
use tokio::time::sleep;
use vimeo::{Chunk, LinkFailure, UploadError, UploadLink, UploadStatus};

use super::source::Unopened;
use super::{CALL_TIMEOUT, Memory, StepContext};
use crate::uploads::chunks::ChunkReader;
use crate::uploads::failures::{failure, missing, then_of_whole};
use crate::uploads::local_file::LocalFileFailed;
use crate::uploads::outcome::{Change, JobPatch, StepOutcome, Then};
use crate::uploads::retry::{LeaseRetry, lease_backoff};
use crate::uploads::sources;

/// How long nothing may be sent before a transfer counts as broken.
const STALL: Duration = Duration::from_mins(1);
/// When the progress of a job is polled whose local file cannot be read.
const FAILED_FILE_DELAY: Duration = Duration::from_secs(2);

/// A transfer between two chunks.
pub(in crate::uploads) struct Transfer {
    /// Bytes that Vimeo has.
    offset: u64,
    /// The source, open at the offset.
    reader: Option<ChunkReader>,
    /// Failed attempts in a row.
    failed: u32,
}

impl Transfer {
    /// To a placeholder without bytes.
    pub(in crate::uploads) fn new() -> Self {
        Self::at(0)
    }

    fn at(offset: u64) -> Self {
        Self { offset, reader: None, failed: 0 }
    }
}

/// Sends the next chunk, or polls the progress of the client that sends the bytes itself.
pub(super) async fn transfer(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
) -> StepOutcome {
    let Some(link) = &context.link else {
        tracing::warn!(job = %context.job.id, "the upload link of a job cannot be decrypted");
        return link_is_gone(context, memory, uploading).await;
    };
    match context.job.source {
        SourceKind::Client if memory.local_file.is_none() => {
            super::client_transfer::watch(context, memory, uploading, link).await
        }
        SourceKind::Url | SourceKind::Client => {
            let outcome = send(context, memory, uploading, link).await;
            if memory.transfer.is_none() {
                context.counter.stop();
            }
            outcome
        }
    }
}

/// Sends until a chunk is acknowledged, or a failure lasts.
async fn send(
    context: &StepContext<'_>,
    memory: &mut Memory,
    mut uploading: Uploading,
    link: &UploadLink,
) -> StepOutcome {
    let mut transfer = match memory.transfer.take() {
        Some(transfer) => transfer,
        None => match ask_offset(context, memory, uploading, link, 0).await {
            Ok(offset) => Transfer::at(offset),
            Err(outcome) => return *outcome,
        },
    };
    loop {
        uploading = match uploading.acknowledge(transfer.offset) {
            Ok(Progress::More(uploading)) => uploading,
            Ok(Progress::Whole(_)) => return all_sent(context, memory, uploading).await,
            Err(error) => {
                tracing::error!(job = %context.job.id, %error, "Vimeo reported an impossible state of an upload");
                return link_is_gone(context, memory, uploading).await;
            }
        };
        let offset = transfer.offset;
        let (reader, facts) = match open_reader(context, memory, &mut transfer, uploading).await {
            Ok(opened) => opened,
            Err(outcome) => return *outcome,
        };
        if let Some(facts) = facts {
            // Durable before a byte of the source is at Vimeo.
            let patch = JobPatch { facts: Change::Set(facts), ..JobPatch::default() };
            memory.transfer = Some(Transfer { reader: Some(reader), ..transfer });
            return StepOutcome::enter(JobState::Uploading(uploading)).with(patch);
        }
        let options = &context.uploads.options;
        let length = options.chunk_bytes.min(uploading.size - offset).min(reader.chunk_max());
        context.counter.start(offset);
        let body = reader.chunk(length, context.counter.clone());
        let sent = context.uploads.client.send_chunk(link, Chunk { offset, length }, body, STALL).await;
        let failed = match sent {
            // Accepted, and not a byte of it kept: sent again, after a pause.
            Ok(reached) if reached == offset => UploadError::Link(LinkFailure::Incoherent),
            Ok(reached) => {
                let reader = Some(reader).filter(|_| reached == offset + length);
                memory.transfer = Some(Transfer { offset: reached, reader, failed: 0 });
                return progressed(memory, Uploading { sent: reached, ..uploading });
            }
            Err(failed) => failed,
        };
        tracing::debug!(job = %context.job.id, ?failed, offset, "Vimeo did not accept a part of an upload");
        uploading = count_sent(context, uploading);
        let is_about_source = !matches!(failed, UploadError::Link(_)) && memory.local_file.is_none();
        if let Some(outcome) = judge(context, memory, uploading, failed, transfer.failed).await {
            return outcome;
        }
        if is_about_source {
            context.pause_for_source(memory, transfer.failed).await;
        } else {
            sleep(lease_backoff(transfer.failed)).await;
        }
        transfer.failed += 1;
        transfer.offset = match ask_offset(context, memory, uploading, link, offset).await {
            Ok(reached) => reached,
            Err(outcome) => return *outcome,
        };
        if transfer.offset > offset {
            let reached = transfer.offset;
            memory.transfer = Some(Transfer::at(reached));
            return progressed(memory, Uploading { sent: reached, ..uploading });
        }
    }
}

/// The source at the offset of the transfer; and what is known of it, if that has to be stored first.
async fn open_reader(
    context: &StepContext<'_>,
    memory: &mut Memory,
    transfer: &mut Transfer,
    uploading: Uploading,
) -> Result<(ChunkReader, Option<SourceFacts>), Box<StepOutcome>> {
    let offset = transfer.offset;
    if let Some(reader) = transfer.reader.take().filter(|reader| reader.offset() == offset) {
        return Ok((reader, None));
    }
    if let Some(file) = &memory.local_file {
        let bytes = file.read(offset).map_err(|LocalFileFailed| SourceError::Unreachable);
        return Ok((ChunkReader::new(bytes, offset), None));
    }
    match context.open_source(memory, uploading, offset).await {
        Ok(opened) => Ok(opened.begin(context, uploading.size, offset).await),
        Err(Unopened::Later(then)) => Err(Box::new(stay(uploading, then))),
        Err(Unopened::Restart(reason)) => Err(Box::new(restart_source(context, memory, uploading, reason))),
    }
}

pub(super) fn stay(uploading: Uploading, then: Then) -> StepOutcome {
    StepOutcome::stay(JobState::Uploading(uploading), then)
}

/// Vimeo acknowledged bytes: progress, unless the source delivers them too slowly.
fn progressed(memory: &Memory, uploading: Uploading) -> StepOutcome {
    if memory.local_file.is_some() || memory.progress.is_fast_enough() {
        StepOutcome::advance(JobState::Uploading(uploading))
    } else {
        StepOutcome::enter(JobState::Uploading(uploading))
    }
}

/// What follows from a chunk that was not accepted; `None`: another attempt, after asking how far it came.
async fn judge(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
    failed: UploadError<SourceError>,
    attempts: u32,
) -> Option<StepOutcome> {
    let is_exhausted = LeaseRetry::Transfer.is_exhausted(attempts);
    Some(match failed {
        UploadError::Link(LinkFailure::Gone) => link_is_gone(context, memory, uploading).await,
        // Once is no reason to restart: the offset is asked for first.
        UploadError::Link(failed @ (LinkFailure::TooLarge | LinkFailure::ProtocolRefused(_)))
            if LeaseRetry::RefusedBytes.is_exhausted(attempts) =>
        {
            tracing::warn!(job = %context.job.id, %failed, "Vimeo refuses the bytes of an upload");
            link_is_gone(context, memory, uploading).await
        }
        UploadError::Link(_) if is_exhausted => link_failed(context, memory, uploading).await,
        UploadError::Link(_) => return None,
        UploadError::SourceStalled if memory.local_file.is_some() && is_exhausted => {
            link_failed(context, memory, uploading).await
        }
        UploadError::SourceStalled if memory.local_file.is_some() => return None,
        // The process that has the file decides.
        UploadError::Source(_) | UploadError::SourceTruncated if memory.local_file.is_some() => {
            stay(uploading, Then::Snooze(FAILED_FILE_DELAY, WaitingFor::Client))
        }
        UploadError::Source(error @ SourceError::Changed) => {
            restart_source(context, memory, uploading, error)
        }
        // Its slot is for others meanwhile, and what it delivered is no progress.
        UploadError::Source(error @ SourceError::TooSlow) => stay(uploading, sources::then_of(error)),
        UploadError::SourceStalled => match context.uploads.egress.record_wait(&memory.progress, STALL) {
            Err(error) => stay(uploading, sources::then_of(error)),
            Ok(()) => return None,
        },
        UploadError::Source(_) | UploadError::SourceTruncated if !is_exhausted => return None,
        UploadError::Source(error) => stay(uploading, sources::then_of(error)),
        UploadError::SourceTruncated => stay(uploading, sources::then_of(SourceError::EndedEarly)),
    })
}

/// The link does not work at the moment. If all bytes may be there, the video may know more.
pub(super) async fn link_failed(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
) -> StepOutcome {
    if may_be_whole(context.job.source, uploading)
        && let Ok(Some(video)) = context.prepared.session.find_video(uploading.video, CALL_TIMEOUT).await
        && video.upload == UploadStatus::Complete
    {
        return all_sent(context, memory, uploading).await;
    }
    let message = "Vimeo did not accept the bytes in time.";
    stay(uploading, Then::Retry(failure(FailureCode::VimeoUnavailable, message)))
}

/// How many bytes a client has sent is known to the client alone.
fn may_be_whole(source: SourceKind, uploading: Uploading) -> bool {
    uploading.may_be_whole() || source == SourceKind::Client
}

/// The offset at Vimeo. It may not be less than what Vimeo has acknowledged.
async fn ask_offset(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
    link: &UploadLink,
    acknowledged: u64,
) -> Result<u64, Box<StepOutcome>> {
    let mut attempt = 0;
    loop {
        let is_last = LeaseRetry::Transfer.is_exhausted(attempt);
        match context.uploads.client.offset(link, CALL_TIMEOUT).await {
            Ok(remote) if is_coherent(remote, uploading.size, acknowledged) => return Ok(remote.offset),
            Ok(remote) if is_last => {
                tracing::error!(
                    job = %context.job.id, ?remote, acknowledged, size = uploading.size,
                    "Vimeo reported an impossible state of an upload"
                );
                return Err(Box::new(link_is_gone(context, memory, uploading).await));
            }
            Ok(_) => {}
            Err(LinkFailure::Gone) => {
                return Err(Box::new(link_is_gone(context, memory, uploading).await));
            }
            Err(failed) => {
                tracing::debug!(job = %context.job.id, ?failed, "Vimeo did not report the offset of an upload");
                if is_last {
                    return Err(Box::new(link_failed(context, memory, uploading).await));
                }
            }
        }
        sleep(lease_backoff(attempt)).await;
        attempt += 1;
    }
}

/// How far the bytes have come that were sent, accepted or not: once all were sent, the video may be whole.
fn count_sent(context: &StepContext<'_>, uploading: Uploading) -> Uploading {
    let sent = context.counter.running().unwrap_or(uploading.sent);
    let counted = Uploading { sent: sent.clamp(uploading.sent, uploading.size), ..uploading };
    if counted.may_be_whole() { counted } else { uploading }
}

/// The link takes nothing any more: because the video is whole, or because it is lost. The video decides; if all bytes may
/// be there, it is asked again for a while, and is never replaced by another one.
pub(super) async fn link_is_gone(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
) -> StepOutcome {
    let may_be_whole = may_be_whole(context.job.source, uploading);
    match context.prepared.session.find_video(uploading.video, CALL_TIMEOUT).await {
        Ok(Some(video)) if video.upload == UploadStatus::Complete => {
            all_sent(context, memory, uploading).await
        }
        Ok(Some(_)) if may_be_whole => {
            let message =
                "Vimeo's upload link no longer works, and Vimeo does not confirm that it has all bytes.";
            let then = Then::Refused(failure(FailureCode::UploadLost, message), Refusal::Other);
            stay(uploading, then).with(JobPatch { is_found: true, ..JobPatch::default() })
        }
        Ok(None) if may_be_whole => stay(uploading, missing()),
        Ok(_) => restart(uploading, JobPatch::default()),
        Err(failed) => stay(uploading, then_of_whole(failed, context.now())),
    }
}

/// Starts again with another placeholder, if that has not happened too often.
fn restart(uploading: Uploading, patch: JobPatch) -> StepOutcome {
    match uploading.restart() {
        Some(queued) => StepOutcome::advance(JobState::Queued(queued)).with(patch),
        None => stay(uploading, Then::Fail(failure(FailureCode::UploadLost, "Vimeo lost the upload."))),
    }
}

/// What was sent cannot be continued: the file is another one now, or that cannot be known. Another placeholder is needed,
/// and the source is inspected again.
fn restart_source(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
    reason: SourceError,
) -> StepOutcome {
    // If all bytes may be at Vimeo, no placeholder is replaced by another one.
    if uploading.may_be_whole() || uploading.restart().is_none() {
        let then = match reason {
            SourceError::CannotResume => Then::Fail(failure(
                FailureCode::SourceBroken,
                "The source repeatedly ended early and does not support resuming.",
            )),
            reason => sources::then_of(reason),
        };
        return stay(uploading, then);
    }
    tracing::info!(job = %context.job.id, %reason, "an upload restarts at the first byte of its source");
    memory.progress.reset();
    memory.spooled = None;
    restart(uploading, JobPatch { facts: Change::Clear, ..JobPatch::default() })
}

/// All bytes are at Vimeo: unless the source is another file now, the settings are made next. Otherwise what is there may be
/// two files joined, and it stays closed.
async fn all_sent(context: &StepContext<'_>, memory: &mut Memory, uploading: Uploading) -> StepOutcome {
    context.counter.stop();
    memory.transfer = None;
    let configuring = uploading.all_sent();
    match context.confirm_source(memory).await {
        Some(changed) => StepOutcome::advance(JobState::Failed(configuring.kept_closed(changed))),
        None => StepOutcome::advance(JobState::Configuring(configuring)),
    }
}

/// Whether this can be the offset of a file of `size` bytes, of which Vimeo has acknowledged this many.
pub(super) fn is_coherent(remote: vimeo::RemoteOffset, size: u64, acknowledged: u64) -> bool {
    remote.offset >= acknowledged && remote.length.is_none_or(|length| length == size)
}

#[cfg(test)]
mod tests {
    use vimeo::RemoteOffset;

    use super::*;

    #[test]
    fn what_a_client_has_sent_may_be_whole_whatever_is_recorded() {
        let video = domain::video::VideoNumber::from_stored(1);
        let sent = |sent| Uploading { video, size: 9, sent, restarts: 0 };
        for bytes in 0..=9 {
            assert!(may_be_whole(SourceKind::Client, sent(bytes)), "{bytes}");
            assert_eq!(may_be_whole(SourceKind::Url, sent(bytes)), bytes == 9, "{bytes}");
        }
    }

    #[test]
    fn an_offset_is_coherent_if_it_does_not_go_back_and_the_length_is_the_files() {
        let remote = |offset, length| RemoteOffset { offset, length };
        assert!(is_coherent(remote(5, None), 9, 5));
        assert!(is_coherent(remote(6, Some(9)), 9, 5));
        assert!(!is_coherent(remote(4, None), 9, 5), "it went back");
        assert!(!is_coherent(remote(6, Some(8)), 9, 5), "of another file");
    }
}
