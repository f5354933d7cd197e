//! What is printed at the end of an upload.

use std::process::ExitCode;

use domain::job::{Job, JobId, JobState};
use serde_json::json;

use crate::cli::{BoxError, Format, output};

/// By which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uploaded {
    Now,
    Before,
}

/// Tells how a job ended: on standard output where the video is, on standard error what was not as it should be.
pub(super) fn tell(job: &Job, uploaded: Uploaded, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        output::say(&String::from_utf8_lossy(&web::job_object(job, None)))?;
    }
    for warning in &job.all_warnings() {
        output::remark(&format!("Warning: {warning}"));
    }
    match &job.state {
        JobState::Completed(completed) => {
            let place =
                if completed.link.is_empty() { completed.video.to_string() } else { completed.link.clone() };
            let sentence = match uploaded {
                Uploaded::Now => format!("Uploaded: the video is at {place}"),
                Uploaded::Before => format!(
                    "Uploaded before, within the last day: the video is at {place} (--again uploads it once more)"
                ),
            };
            if format.json { Ok(ExitCode::SUCCESS) } else { output::say(&sentence) }
        }
        JobState::Failed(failed) => {
            let (message, code) = (job.failure_message().unwrap_or_default(), failed.failure.code.as_str());
            output::remark(&format!("The upload failed: {message} ({code})"));
            Ok(ExitCode::FAILURE)
        }
        JobState::Cancelled(_) => {
            output::remark("The upload was cancelled.");
            Ok(ExitCode::FAILURE)
        }
        _ => Err("the upload has not ended".into()),
    }
}

/// Says that the service has the job: as JSON what the API answers.
pub(super) fn tell_taken(id: &JobId, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        return output::say_json(&json!({ "success": true, "data": { "jobId": id.as_str() } }));
    }
    output::say(id.as_str())
}
