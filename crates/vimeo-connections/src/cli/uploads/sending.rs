//! The file's bytes on their way to the upload's link, from wherever Vimeo stands to the end.

use std::time::Duration;

use domain::job::{JobId, JobState};
use seal::Randomness;
use tokio::time::sleep;
use vimeo::{Backoff, Chunk, LinkFailure, UploadError};

use super::Desk;
use super::file::{FileToSend, ReadFault};
use super::once::Sendable;
use crate::cli::BoxError;

/// How long Vimeo may take to say how far it is.
const ASK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long nothing may move before a transfer counts as broken off.
const STALL: Duration = Duration::from_mins(1);
/// So many troubles one after another, with nothing sent between them, are sat out: a minute and a half, as a rule, which
/// is longer than Vimeo holds what a broken connection has locked.
const TROUBLES_MAX: u32 = 10;
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
/// How often is looked whether somebody has cancelled the upload.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// How the sending ended.
#[derive(Debug)]
pub(super) enum Sent {
    /// Vimeo holds everything.
    Whole,
    /// Nothing is to be sent any more; the job says why.
    AskTheJob,
    /// The file is another one now.
    Changed,
    /// The file cannot be read.
    Unreadable(std::io::Error),
    /// Vimeo takes nothing.
    GivenUp(LinkFailure),
    /// The command was interrupted.
    Stopped,
}

/// Sends what Vimeo does not have yet.
pub(super) async fn send(desk: &Desk<'_>, file: &FileToSend, to: &Sendable) -> Result<Sent, BoxError> {
    tokio::select! {
        biased;
        () = desk.stopping.cancelled() => Ok(Sent::Stopped),
        sent = pour(desk, file, to) => sent,
        () = given_up(desk, &to.job_id) => Ok(Sent::AskTheJob),
    }
}

/// Returns when somebody has cancelled the upload, or it has failed.
async fn given_up(desk: &Desk<'_>, id: &JobId) {
    loop {
        sleep(LOOK_PAUSE).await;
        match desk.app.find_job(desk.caller, id).await {
            Ok(job) if job.state.has_ended() || matches!(job.state, JobState::CleaningUp(_)) => return,
            Err(app::Error::JobNotFound) => return,
            // What cannot be read now is looked at again.
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
                    // The disk may come to life again.
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

/// Which bytes have left, taken in or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Some,
    /// Everything: Vimeo may have it, whatever the link answers now.
    All,
}

/// What a failure of the link leads to; `None`: to another attempt.
fn judge(failure: LinkFailure, troubles: u32, left: Left) -> Option<Sent> {
    match (failure, left) {
        (LinkFailure::Gone, _) => Some(Sent::AskTheJob),
        (_, Left::All) if troubles > TROUBLES_MAX => Some(Sent::AskTheJob),
        (failure, Left::Some) if troubles > TROUBLES_MAX => Some(Sent::GivenUp(failure)),
        (_, Left::Some | Left::All) => None,
    }
}

/// Sends to the end, as long as each piece is taken.
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
