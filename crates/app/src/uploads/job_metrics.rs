//! Metrics and log lines of the ends of jobs.

use domain::job::{Job, JobState};

/// Records the end of a job.
pub(super) fn record_end(state: &JobState) {
    let code = match state {
        JobState::Failed(failed) => Some(failed.failure.code.as_str()),
        JobState::Completed(_) | JobState::Cancelled(_) => None,
        _ => return,
    };
    metrics::record_ended_job(state.as_str(), code);
}

/// One line when an upload has ended, and its metric. The span of the work names the job.
pub(super) fn report_end(job: &Job) {
    record_end(&job.state);
    match &job.state {
        JobState::Completed(completed) => {
            tracing::info!(video = %completed.video, bytes = completed.size, "an upload has completed");
        }
        JobState::Failed(failed) => {
            tracing::info!(code = failed.failure.code.as_str(), "an upload has failed");
        }
        JobState::Cancelled(_) => tracing::info!("an upload has been cancelled"),
        _ => {}
    }
}
