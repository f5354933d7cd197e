//! When the time at which a video is opened may still be changed.

use thiserror::Error;

use super::{Job, JobState, SourceKind};
use crate::time::Timestamp;

/// Why the time at which a video is opened cannot be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotReschedulable {
    /// The video is being opened, or was.
    #[error("the video is already being published")]
    Publishing,
    /// The client waits for the upload link: another write of the job would end its request.
    #[error("the upload link is being created")]
    LinkPending,
    /// The upload has ended without a video, or will.
    #[error("the upload has ended")]
    Ended,
    /// The upload replaces a file of a video, which stays as open as it is.
    #[error("the upload replaces the file of a video, whose privacy stays as it is")]
    Replacement,
}

impl Job {
    /// Whether the time at which its video is opened may still be changed.
    pub fn check_reschedule(&self) -> Result<(), NotReschedulable> {
        if self.replaces.is_some() {
            return Err(NotReschedulable::Replacement);
        }
        match &self.state {
            _ if self.is_connection_deleted => Err(NotReschedulable::Ended),
            JobState::Queued(_) | JobState::Creating(_) if self.source == SourceKind::Client => {
                Err(NotReschedulable::LinkPending)
            }
            JobState::Queued(_)
            | JobState::Creating(_)
            | JobState::Uploading(_)
            | JobState::Configuring(_)
            | JobState::Transcoding(_)
            | JobState::Scheduled(_) => Ok(()),
            // Whether Vimeo has carried out the request that opens it is not always known.
            JobState::Publishing(_) | JobState::Completed(_) => Err(NotReschedulable::Publishing),
            JobState::CleaningUp(_) | JobState::Failed(_) | JobState::Cancelled(_) => {
                Err(NotReschedulable::Ended)
            }
        }
    }

    /// Whether a worker has nothing left to do but to open the video at its time.
    pub fn is_publication(&self) -> bool {
        match self.state {
            JobState::Scheduled(_) => true,
            JobState::Publishing(_) => self.publish_at.is_some(),
            _ => false,
        }
    }

    /// Whether the video may be opened at this instant.
    pub fn is_publication_due(&self, now: Timestamp) -> bool {
        self.publish_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::job_in as job;
    use crate::job::{Publishing, Queued, Scheduled};
    use crate::video::VideoNumber;

    #[test]
    fn the_time_may_change_until_vimeo_is_asked_to_open_the_video() {
        let (video, size) = (VideoNumber::from_stored(1), 9);
        let queued = job(JobState::Queued(Queued::default()));
        assert_eq!(queued.check_reschedule(), Ok(()));
        assert_eq!(job(JobState::Scheduled(Scheduled { video, size })).check_reschedule(), Ok(()));
        let publishing = job(JobState::Publishing(Publishing { video, size }));
        assert_eq!(publishing.check_reschedule(), Err(NotReschedulable::Publishing));
        let cancelled = job(queued.cancel().unwrap());
        assert_eq!(cancelled.check_reschedule(), Err(NotReschedulable::Ended));
        let replacement = Job { replaces: Some(video), ..queued.clone() };
        assert_eq!(replacement.check_reschedule(), Err(NotReschedulable::Replacement));
        let client = Job { source: SourceKind::Client, ..queued.clone() };
        assert_eq!(client.check_reschedule(), Err(NotReschedulable::LinkPending));
        let orphaned = Job { is_connection_deleted: true, ..queued };
        assert_eq!(orphaned.check_reschedule(), Err(NotReschedulable::Ended));
    }

    #[test]
    fn a_video_is_opened_at_its_time_or_at_once_without_one() {
        let now = Timestamp::from_millis(5_000);
        let at = |at| Job { publish_at: at, ..job(JobState::Queued(Queued::default())) };
        assert!(at(None).is_publication_due(now));
        assert!(at(Some(now)).is_publication_due(now));
        assert!(!at(Some(now.plus_seconds(1))).is_publication_due(now));
    }
}
