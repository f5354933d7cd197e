//! Which jobs can be queued again as a new job, and what they keep for that.

use thiserror::Error;

use super::{FailureCode, Job, JobState, SourceKind};

/// Why a job cannot be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotRetryable {
    /// It has not failed: it is in progress, completed or cancelled.
    #[error("the job has not failed")]
    NotFailed,
    /// The client sends its bytes; the service does not have them.
    #[error("the client sends the bytes of this upload")]
    ClientUpload,
    /// Its request was wiped.
    #[error("the request of this upload is no longer kept")]
    NotKept,
}

impl Job {
    /// Whether the job may be retried, as far as its state decides that.
    pub fn check_retry(&self) -> Result<(), NotRetryable> {
        match (&self.state, self.source) {
            (JobState::Failed(_), SourceKind::Url) => Ok(()),
            (JobState::Failed(_), SourceKind::Client) => Err(NotRetryable::ClientUpload),
            _ => Err(NotRetryable::NotFailed),
        }
    }

    /// Whether the sealed request is kept for a retry once nothing else needs it: only if a retry could use it.
    pub fn keeps_request(&self) -> bool {
        let is_readable = self.failure().is_some_and(|failure| failure.code != FailureCode::Unreadable);
        is_readable && !self.is_connection_deleted && self.check_retry().is_ok()
    }
}
