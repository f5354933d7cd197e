//! Prints the result of an upload.

use std::process::ExitCode;

use domain::job::{Job, JobId, JobState};
use serde_json::json;

use crate::cli::{BoxError, Format, output};

/// The run that uploaded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uploaded {
    Now,
    Before,
}

/// Prints the result of a job: the video on standard output, problems on standard error.
pub(super) fn tell(job: &Job, uploaded: Uploaded, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        output::print(&String::from_utf8_lossy(&web::job_object(job, None)))?;
    }
    for warning in &job.all_warnings() {
        output::status(&format!("Warning: {warning}"));
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
            if format.json { Ok(ExitCode::SUCCESS) } else { output::print(&sentence) }
        }
        JobState::Failed(failed) => {
            let (message, code) = (job.failure_message().unwrap_or_default(), failed.failure.code.as_str());
            output::status(&format!("The upload failed: {message} ({code})"));
            Ok(ExitCode::FAILURE)
        }
        JobState::Cancelled(_) => {
            output::status("The upload was cancelled.");
            Ok(ExitCode::FAILURE)
        }
        _ => Err("the upload has not ended".into()),
    }
}

/// Prints that the service has accepted the job; as JSON, what the API returns.
pub(super) fn tell_taken(id: &JobId, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        return output::print_json(&json!({ "success": true, "data": { "jobId": id.as_str() } }));
    }
    output::print(id.as_str())
}
