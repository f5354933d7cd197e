//! Metrics of jobs.

use domain::job::JobState;

/// Records the end of a job.
pub(super) fn record_end(state: &JobState) {
    let code = match state {
        JobState::Failed(failed) => Some(failed.failure.code.as_str()),
        JobState::Completed(_) | JobState::Cancelled(_) => None,
        _ => return,
    };
    metrics::record_ended_job(state.as_str(), code);
}
