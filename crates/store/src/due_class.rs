//! The classes in which jobs are due: each is found by workers apart from the others.

use domain::job::{Job, JobState};

/// The class in which a job is due: started uploads before queued ones, and apart from both the webhooks of ended ones and
/// the videos that are opened at a time.
pub(crate) fn due_class(job: &Job) -> i64 {
    match &job.state {
        JobState::Queued(_) => QUEUED_CLASS,
        _ if job.is_publication() => PUBLICATION_CLASS,
        state if state.has_ended() => ENDED_CLASS,
        _ => STARTED_CLASS,
    }
}

/// Of an upload that has started. A class divided by two is the [`Work`](crate::Work).
pub(crate) const STARTED_CLASS: i64 = 0;
/// Of an upload that has not.
pub(crate) const QUEUED_CLASS: i64 = 1;
/// Of an upload that has ended, whose webhook may be due.
pub(crate) const ENDED_CLASS: i64 = 2;
/// Of a video that is opened at a time.
pub(crate) const PUBLICATION_CLASS: i64 = 4;
