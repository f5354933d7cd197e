//! What is printed at the end of an upload.

use std::process::ExitCode;

use domain::job::{Job, JobId, JobState};
use domain::video::VideoNumber;
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
        output::say_json(&shown(job))?;
    }
    for warning in &job.warnings {
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
            let failure = &failed.failure;
            output::remark(&format!("The upload failed: {} ({})", failure.message, failure.code.as_str()));
            Ok(ExitCode::FAILURE)
        }
        JobState::Cancelled(cancelled) => {
            let left = cancelled.video.map_or_else(String::new, |video| {
                format!(" {video} is left of it at Vimeo; it could not be deleted")
            });
            output::remark(&format!("The upload was cancelled.{left}"));
            Ok(ExitCode::FAILURE)
        }
        _ => Err("the upload is not over".into()),
    }
}

/// Tells that the service has the job.
pub(super) fn tell_taken(id: &JobId, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        return output::say_json(&json!({ "jobId": id.as_str(), "status": "in-progress" }));
    }
    output::say(id.as_str())
}

fn shown(job: &Job) -> serde_json::Value {
    let (status, video) = match &job.state {
        JobState::Completed(completed) => ("completed", Some(completed.video)),
        JobState::Failed(failed) => ("failed", failed.video),
        JobState::Cancelled(cancelled) => ("cancelled", cancelled.video),
        _ => ("in-progress", None),
    };
    let completed = if let JobState::Completed(completed) = &job.state { Some(completed) } else { None };
    let failure = if let JobState::Failed(failed) = &job.state { Some(&failed.failure) } else { None };
    json!({
        "jobId": job.id.as_str(),
        "status": status,
        "vimeoUri": video.as_ref().map(VideoNumber::to_string),
        "vimeoUrl": completed.map(|completed| &completed.link),
        "playerUrl": completed.and_then(|completed| completed.player.as_ref()),
        "warnings": job.warnings,
        "errorCode": failure.map(|failure| failure.code.as_str()),
        "errorMessage": failure.map(|failure| &failure.message),
    })
}
