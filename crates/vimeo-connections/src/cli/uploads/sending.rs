//! Sends a file's bytes to the upload link, from Vimeo's current offset to the end.

use std::time::Duration;

use domain::job::{JobId, JobState};
use seal::Randomness;
use tokio::time::sleep;
use vimeo::{Backoff, Chunk, LinkFailure, UploadError};

use super::Desk;
use super::file::{FileToSend, ReadFault};
use super::once::Sendable;
use crate::cli::BoxError;

/// Timeout for asking Vimeo for the offset.
const ASK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a transfer may make no progress.
const STALL: Duration = Duration::from_mins(1);
/// How many consecutive failures without progress are retried: about a minute and a half, which is longer than Vimeo
/// keeps an upload locked after a broken connection.
const TROUBLES_MAX: u32 = 10;
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
/// How often the job is checked for cancellation.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// How sending ended.
#[derive(Debug)]
pub(super) enum Sent {
    /// Vimeo has received everything.
    Whole,
    /// Nothing is left to send; the job has the reason.
    AskTheJob,
    /// The file has changed.
    Changed,
    /// The file cannot be read.
    Unreadable(std::io::Error),
    /// Vimeo does not accept the bytes.
    GivenUp(LinkFailure),
    /// The command was interrupted.
    Stopped,
}

/// Sends the bytes that Vimeo has not received.
pub(super) async fn send(desk: &Desk<'_>, file: &FileToSend, to: &Sendable) -> Result<Sent, BoxError> {
    tokio::select! {
        biased;
        () = desk.stopping.cancelled() => Ok(Sent::Stopped),
        sent = pour(desk, file, to) => sent,
        () = given_up(desk, &to.job_id) => Ok(Sent::AskTheJob),
    }
}

/// Returns when the upload was cancelled or has failed.
async fn given_up(desk: &Desk<'_>, id: &JobId) {
    loop {
        sleep(LOOK_PAUSE).await;
        match desk.app.find_job(desk.caller, id).await {
            Ok(job) if job.state.has_ended() || matches!(job.state, JobState::CleaningUp(_)) => return,
            Err(app::Error::JobNotFound) => return,
            // Errors of reading the job are ignored; the next check retries.
            Ok(_) | Err(_) => {}
        }
    }
}

async fn pour(desk: &Desk<'_>, file: &FileToSend, to: &Sendable) -> Result<Sent, BoxError> {
    let randomness = Randomness::system();
    let (mut troubles, mut furthest) = (0, None);
    let mut left = Left::Some;
    loop {
        let failure = match desk.client.offset(&to.link, ASK_TIMEOUT).await {
            Ok(held)
                if held.length.is_some_and(|length| length != file.size()) || held.offset > file.size() =>
            {
                LinkFailure::Incoherent
            }
            Ok(held) => {
                if furthest < Some(held.offset) {
                    (troubles, furthest) = (0, Some(held.offset));
                }
                desk.progress.sending_from(held.offset, file.size());
                match send_from(desk, file, to, held.offset, &mut left).await {
                    Ok(()) => return Ok(Sent::Whole),
                    Err(UploadError::Link(failure)) => failure,
                    Err(UploadError::Source(ReadFault::Changed) | UploadError::SourceTruncated) => {
                        return Ok(Sent::Changed);
                    }
                    Err(UploadError::Source(ReadFault::Unreadable(error))) => {
                        return Ok(Sent::Unreadable(error));
                    }
                    // The disk may recover.
                    Err(UploadError::SourceStalled) => {
                        LinkFailure::RetryLater(vimeo::TransportError::Timeout)
                    }
                }
            }
            Err(failure) => failure,
        };
        tracing::debug!(?failure, troubles, "Vimeo did not accept a part of the file");
        troubles += 1;
        if let Some(sent) = judge(failure, troubles, left) {
            return Ok(sent);
        }
        desk.progress.phase("waiting to resume: the connection to Vimeo was lost");
        sleep(BACKOFF.pause(troubles, u64::from_le_bytes(randomness.bytes()))).await;
    }
}

/// Which bytes were sent, whether received or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Some,
    /// All of them: Vimeo may have them, whatever the link returns now.
    All,
}

/// What follows from a failure of the link; `None`: another attempt.
fn judge(failure: LinkFailure, troubles: u32, left: Left) -> Option<Sent> {
    match (failure, left) {
        (LinkFailure::Gone, _) => Some(Sent::AskTheJob),
        (_, Left::All) if troubles > TROUBLES_MAX => Some(Sent::AskTheJob),
        (failure, Left::Some) if troubles > TROUBLES_MAX => Some(Sent::GivenUp(failure)),
        (_, Left::Some | Left::All) => None,
    }
}

/// Sends to the end, as long as each chunk is accepted.
async fn send_from(
    desk: &Desk<'_>,
    file: &FileToSend,
    to: &Sendable,
    mut offset: u64,
    left: &mut Left,
) -> Result<(), UploadError<ReadFault>> {
    while offset < file.size() {
        let length = desk.chunk_bytes.min(file.size() - offset);
        *left = if offset + length == file.size() { Left::All } else { Left::Some };
        let bytes = file.read(offset, length, desk.tasks, desk.progress);
        let reached = desk.client.send_chunk(&to.link, Chunk { offset, length }, bytes, STALL).await?;
        if reached == offset {
            return Err(LinkFailure::Incoherent.into());
        }
        offset = reached;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vimeo::TransportError;

    use super::*;

    #[test]
    fn once_all_bytes_have_left_no_failure_of_the_link_ends_the_command() {
        let mut failures = vec![
            LinkFailure::Gone,
            LinkFailure::Locked,
            LinkFailure::Conflict,
            LinkFailure::TooLarge,
            LinkFailure::Incoherent,
            LinkFailure::RetryLater(TransportError::Unreachable),
            LinkFailure::RetryLater(TransportError::Timeout),
        ];
        failures.extend((400..=599).map(LinkFailure::ProtocolRefused));
        failures.extend((400..=599).map(|status| LinkFailure::RetryLater(TransportError::Status(status))));
        for failure in failures {
            for troubles in 1..=TROUBLES_MAX + 1 {
                let judged = judge(failure.clone(), troubles, Left::All);
                assert!(matches!(judged, None | Some(Sent::AskTheJob)), "{failure:?}: {judged:?}");
            }
            let judged = judge(failure.clone(), TROUBLES_MAX + 1, Left::All);
            assert!(matches!(judged, Some(Sent::AskTheJob)), "{failure:?}: {judged:?}");
        }
        let judged = judge(LinkFailure::Locked, TROUBLES_MAX + 1, Left::Some);
        assert!(matches!(judged, Some(Sent::GivenUp(LinkFailure::Locked))), "{judged:?}");
    }
}
