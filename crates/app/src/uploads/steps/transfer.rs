//! Sends the bytes of a source to the upload link.

use std::time::Duration;

use domain::job::{FailureCode, JobState, Progress, Refusal, SourceFacts, SourceKind, Uploading, WaitingFor};
use egress::SourceError;
use futures_util::TryStreamExt as _;
use vimeo::{Chunk, LinkFailure, RemoteOffset, UploadError, UploadLink, UploadStatus};

use super::source::Unopened;
use super::{CALL_TIMEOUT, Memory, StepContext};
use crate::uploads::chunks::ChunkReader;
use crate::uploads::failures::{failure, lease_retry_of, missing, then_of_whole};
use crate::uploads::local_file::LocalFileFailed;
use crate::uploads::outcome::{Change, JobPatch, StepOutcome, Then};
use crate::uploads::retry::{LeaseAttempts, LeaseRetry};
use crate::uploads::sources;

/// How long nothing may be sent before a transfer counts as broken.
const STALL: Duration = Duration::from_mins(1);
/// When the progress of a job is polled whose local file cannot be read.
const FAILED_FILE_DELAY: Duration = Duration::from_secs(2);

/// A transfer between two attempts.
#[derive(Default)]
pub(in crate::uploads) struct Transfer {
    /// Bytes that Vimeo has; `None`: it is asked first.
    offset: Option<u64>,
    /// The offset of the last attempt. Vimeo's may not be less.
    acknowledged: Option<u64>,
    /// The source, open at the offset.
    reader: Option<ChunkReader>,
    /// Failed attempts in a row.
    attempts: LeaseAttempts,
}

impl Transfer {
    /// To a placeholder without bytes.
    pub(in crate::uploads) fn new() -> Self {
        Self::at(0)
    }

    fn at(offset: u64) -> Self {
        Self { offset: Some(offset), ..Self::default() }
    }

    /// Another attempt within the lease, if there is one.
    fn retry(
        mut self,
        memory: &mut Memory,
        uploading: Uploading,
        retry: Option<LeaseRetry>,
    ) -> Option<StepOutcome> {
        let retry = retry?;
        let delay = self.attempts.fail(retry)?;
        memory.transfer = Some(self);
        Some(stay(uploading, Then::RetryInLease(retry, delay)))
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

/// Sends one chunk.
async fn send(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
    link: &UploadLink,
) -> StepOutcome {
    let mut transfer = memory.transfer.take().unwrap_or_default();
    let offset = match transfer.offset {
        Some(offset) => offset,
        None => match context.uploads.client.offset(link, CALL_TIMEOUT).await {
            Ok(remote) if is_coherent(remote, uploading.size, transfer.acknowledged.unwrap_or_default()) => {
                remote.offset
            }
            reported => return no_offset(context, memory, uploading, (transfer, reported)).await,
        },
    };
    if transfer.acknowledged.is_some_and(|before| offset > before) {
        memory.transfer = Some(Transfer::at(offset));
        return progressed(memory, Uploading { sent: offset, ..uploading });
    }
    (transfer.offset, transfer.acknowledged) = (Some(offset), Some(offset));
    if context.counter.running().is_some() {
        context.counter.start(offset);
    }
    let uploading = match uploading.acknowledge(offset) {
        Ok(Progress::More(uploading)) => uploading,
        Ok(Progress::Whole(_)) => return all_sent(context, memory, uploading).await,
        Err(error) => {
            tracing::error!(job = %context.job.id, %error, "Vimeo reported an impossible state of an upload");
            return link_is_gone(context, memory, uploading).await;
        }
    };
    let (reader, facts) = match open_reader(context, memory, &mut transfer, (uploading, offset)).await {
        Ok(opened) => opened,
        Err(unopened) => return not_opened(context, memory, uploading, (transfer, unopened)),
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
    let failed = match context.uploads.client.send_chunk(link, Chunk { offset, length }, body, STALL).await {
        // Accepted, and not a byte of it kept: sent again, after a pause.
        Ok(reached) if reached == offset => UploadError::Link(LinkFailure::Incoherent),
        Ok(reached) => {
            let reader = Some(reader).filter(|_| reached == offset + length);
            memory.transfer = Some(Transfer { reader, ..Transfer::at(reached) });
            return progressed(memory, Uploading { sent: reached, ..uploading });
        }
        Err(failed) => failed,
    };
    tracing::debug!(job = %context.job.id, ?failed, offset, "Vimeo did not accept a part of an upload");
    let uploading = count_sent(context, uploading);
    // How far it came is not known.
    transfer.offset = None;
    not_sent(context, memory, uploading, (transfer, failed)).await
}

/// The source at the offset of the transfer; and what is known of it, if that has to be stored first.
async fn open_reader(
    context: &StepContext<'_>,
    memory: &mut Memory,
    transfer: &mut Transfer,
    (uploading, offset): (Uploading, u64),
) -> Result<(ChunkReader, Option<SourceFacts>), Unopened> {
    if let Some(reader) = transfer.reader.take().filter(|reader| reader.offset() == offset) {
        return Ok((reader, None));
    }
    if let Some(file) = &memory.local_file {
        let bytes = file.read(offset).map_err(|LocalFileFailed| SourceError::Unreachable);
        return Ok((ChunkReader::new(bytes, offset), None));
    }
    let opened = context.open_source(memory, uploading, offset).await?;
    Ok(opened.begin(context, uploading.size, offset).await)
}

/// What follows from an offset that Vimeo did not report, or that cannot be.
async fn no_offset(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
    (transfer, reported): (Transfer, Result<RemoteOffset, LinkFailure>),
) -> StepOutcome {
    tracing::debug!(job = %context.job.id, ?reported, "Vimeo did not report the offset of an upload");
    let retry = match reported {
        Ok(_) => Some(LeaseRetry::ImpossibleOffset),
        Err(LinkFailure::Gone) => None,
        Err(_) => Some(LeaseRetry::Link),
    };
    if let Some(retried) = transfer.retry(memory, uploading, retry) {
        return retried;
    }
    match reported {
        Err(LinkFailure::Gone) => link_is_gone(context, memory, uploading).await,
        Err(_) => link_failed(context, memory, uploading).await,
        Ok(remote) => {
            tracing::error!(
                job = %context.job.id, ?remote, size = uploading.size,
                "Vimeo reported an impossible state of an upload"
            );
            link_is_gone(context, memory, uploading).await
        }
    }
}

/// What follows from a source that was not opened.
fn not_opened(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
    (transfer, unopened): (Transfer, Unopened),
) -> StepOutcome {
    let retry = unopened.lease_retry(transfer.offset.unwrap_or_default());
    if let Some(retried) = transfer.retry(memory, uploading, retry) {
        return retried;
    }
    match unopened {
        Unopened::Later(then) => stay(uploading, then),
        Unopened::Restart(reason) => restart_source(context, memory, uploading, reason),
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

/// What follows from a chunk that was not accepted.
async fn not_sent(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
    (transfer, failed): (Transfer, UploadError<SourceError>),
) -> StepOutcome {
    let is_local_file = memory.local_file.is_some();
    let retry = lease_retry_of(&failed, is_local_file);
    if retry == Some(LeaseRetry::StalledSource)
        && let Err(error) = context.uploads.egress.record_wait(&memory.progress, STALL)
    {
        return stay(uploading, sources::then_of(error));
    }
    if let Some(retried) = transfer.retry(memory, uploading, retry) {
        return retried;
    }
    match failed {
        UploadError::Link(LinkFailure::Gone) => link_is_gone(context, memory, uploading).await,
        UploadError::Link(failed @ (LinkFailure::TooLarge | LinkFailure::ProtocolRefused(_))) => {
            tracing::warn!(job = %context.job.id, %failed, "Vimeo refuses the bytes of an upload");
            link_is_gone(context, memory, uploading).await
        }
        UploadError::Link(_) | UploadError::SourceStalled => link_failed(context, memory, uploading).await,
        UploadError::Source(_) | UploadError::SourceTruncated if is_local_file => {
            stay(uploading, Then::Snooze(FAILED_FILE_DELAY, WaitingFor::Client))
        }
        UploadError::Source(error @ SourceError::Changed) => {
            restart_source(context, memory, uploading, error)
        }
        UploadError::Source(error) => stay(uploading, sources::then_of(error)),
        UploadError::SourceTruncated => stay(uploading, sources::then_of(SourceError::EndedEarly)),
    }
}

/// The link does not work at the moment. If all bytes may be there, the video may know more.
pub(super) async fn link_failed(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
) -> StepOutcome {
    if may_be_whole(context.job.source, uploading)
        && let Ok(Some(found)) = context.find_target(uploading.target).await
        && found.upload == UploadStatus::Complete
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
    match context.find_target(uploading.target).await {
        Ok(Some(found)) if found.upload == UploadStatus::Complete => {
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
pub(super) fn is_coherent(remote: RemoteOffset, size: u64, acknowledged: u64) -> bool {
    remote.offset >= acknowledged && remote.length.is_none_or(|length| length == size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_has_sent_may_be_whole_whatever_is_recorded() {
        let video = domain::video::VideoNumber::from_stored(1);
        let sent = |sent| Uploading { target: video.into(), size: 9, sent, restarts: 0 };
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
