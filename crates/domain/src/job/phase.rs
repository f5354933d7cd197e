//! The step that a job is in, by name.

use thiserror::Error;

use super::JobState;

/// The name of a [`JobState`], without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobPhase {
    /// Waits for a worker.
    Queued,
    /// The video is requested at Vimeo.
    Creating,
    /// Bytes are sent.
    Uploading,
    /// The settings are applied.
    Configuring,
    /// Vimeo transcodes the video.
    Transcoding,
    /// The video stays closed until its time.
    Scheduled,
    /// The video's privacy is applied.
    Publishing,
    /// What the upload created at Vimeo is deleted.
    CleaningUp,
    /// The video is at Vimeo as requested.
    Completed,
    /// The upload failed.
    Failed,
    /// The upload was cancelled.
    Cancelled,
}

/// The text is not the name of a [`JobPhase`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "must be queued, creating, uploading, configuring, transcoding, scheduled, publishing, cleaning_up, completed, failed or cancelled"
)]
pub struct JobPhaseError;

impl JobPhase {
    /// Every phase, in the order of an upload.
    pub const ALL: [Self; 11] = [
        Self::Queued,
        Self::Creating,
        Self::Uploading,
        Self::Configuring,
        Self::Transcoding,
        Self::Scheduled,
        Self::Publishing,
        Self::CleaningUp,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its name in the contract, which is also stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Creating => "creating",
            Self::Uploading => "uploading",
            Self::Configuring => "configuring",
            Self::Transcoding => "transcoding",
            Self::Scheduled => "scheduled",
            Self::Publishing => "publishing",
            Self::CleaningUp => "cleaning_up",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The phase with this name.
    pub fn parse(text: &str) -> Result<Self, JobPhaseError> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text).ok_or(JobPhaseError)
    }
}

impl JobState {
    /// Its name.
    pub fn phase(&self) -> JobPhase {
        match self {
            Self::Queued(_) => JobPhase::Queued,
            Self::Creating(_) => JobPhase::Creating,
            Self::Uploading(_) => JobPhase::Uploading,
            Self::Configuring(_) => JobPhase::Configuring,
            Self::Transcoding(_) => JobPhase::Transcoding,
            Self::Scheduled(_) => JobPhase::Scheduled,
            Self::Publishing(_) => JobPhase::Publishing,
            Self::CleaningUp(_) => JobPhase::CleaningUp,
            Self::Completed(_) => JobPhase::Completed,
            Self::Failed(_) => JobPhase::Failed,
            Self::Cancelled(_) => JobPhase::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_parsed_from_its_name_alone() {
        for phase in JobPhase::ALL {
            assert_eq!(JobPhase::parse(phase.as_str()), Ok(phase));
            let listed = JobPhaseError.to_string();
            assert!(listed.contains(phase.as_str()), "{listed}");
        }
        for text in ["", "Queued", "in-progress", "cleaning-up", " failed"] {
            assert_eq!(JobPhase::parse(text), Err(JobPhaseError), "{text}");
        }
    }
}
