//! Prints the result of an upload.

use std::process::ExitCode;

use domain::job::{JobId, JobStatus};
use serde_json::json;

use crate::cli::jobs::JobView;
use crate::cli::{BoxError, Format, output};

/// The run that uploaded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Uploaded {
    Now,
    Before,
}

/// Prints the result of a job: the video on standard output, problems on standard error.
pub(in crate::cli) fn tell(job: &JobView, uploaded: Uploaded, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        output::print(&job.json.to_string())?;
    }
    for warning in job.warnings() {
        output::status(&format!("Warning: {warning}"));
    }
    match job.status() {
        Some(JobStatus::Completed) => {
            let place = job.place();
            let sentence = match uploaded {
                Uploaded::Now => format!("Uploaded: the video is at {place}"),
                Uploaded::Before => format!(
                    "Uploaded before, within the last day: the video is at {place} (--again uploads it once more)"
                ),
            };
            if format.json { Ok(ExitCode::SUCCESS) } else { output::print(&sentence) }
        }
        Some(JobStatus::Failed) => {
            let (message, code) = job.failure();
            output::status(&format!("The upload failed: {message} ({code})"));
            Ok(ExitCode::FAILURE)
        }
        Some(JobStatus::Cancelled) => {
            output::status("The upload was cancelled.");
            Ok(ExitCode::FAILURE)
        }
        Some(JobStatus::InProgress) if job.is_scheduled() => {
            let sentence = format!(
                "Uploaded: the video at {} is published at {}, by the service",
                job.place(),
                job.publish_at()
            );
            if format.json { Ok(ExitCode::SUCCESS) } else { output::print(&sentence) }
        }
        Some(JobStatus::InProgress) | None => Err("the upload has not ended".into()),
    }
}

/// Prints that the service has accepted the job; as JSON, what the API returns.
pub(in crate::cli) fn tell_taken(id: &JobId, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        return output::print_json(&json!({ "success": true, "data": { "jobId": id.as_str() } }));
    }
    output::print(id.as_str())
}
