//! What clients see of a job: its status, its progress, its estimate and its video at Vimeo.

use thiserror::Error;

use super::{
    Cancelled, CleaningUp, Completed, Configuring, Ending, Failed, Failure, Job, JobState, Kept, Publishing,
    Scheduled, Target, Transcoding, Uploading,
};
use crate::video::VideoNumber;

/// The progress once all bytes are at Vimeo.
const SENT_PERCENT: u8 = 90;
/// The progress while the settings are applied.
const CONFIGURING_PERCENT: u8 = 92;
/// The progress while Vimeo transcodes the video.
const TRANSCODING_PERCENT: u8 = 95;
/// The progress while the video is opened to its viewers.
const PUBLISHING_PERCENT: u8 = 99;

/// The status of a job, for clients that wait for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// It has not ended.
    InProgress,
    /// The video is at Vimeo as requested.
    Completed,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// The text is not the name of a [`JobStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be in-progress, completed, failed or cancelled")]
pub struct JobStatusError;

impl JobStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::InProgress, Self::Completed, Self::Failed, Self::Cancelled];

    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status with this name.
    pub fn parse(text: &str) -> Result<Self, JobStatusError> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(JobStatusError)
    }

    /// Whether the upload has completed or may still complete.
    pub fn may_complete(self) -> bool {
        matches!(self, Self::InProgress | Self::Completed)
    }
}

impl Job {
    /// Its status. A cancellation counts from the request on; a failure once it is final.
    pub fn status(&self) -> JobStatus {
        match &self.state {
            JobState::Completed(_) => JobStatus::Completed,
            JobState::Failed(_) => JobStatus::Failed,
            JobState::Cancelled(_) | JobState::CleaningUp(CleaningUp { ending: Ending::Cancelled, .. }) => {
                JobStatus::Cancelled
            }
            _ if self.is_connection_deleted => JobStatus::Cancelled,
            JobState::Queued(_)
            | JobState::Creating(_)
            | JobState::Uploading(_)
            | JobState::Configuring(_)
            | JobState::Transcoding(_)
            | JobState::Scheduled(_)
            | JobState::Publishing(_)
            | JobState::CleaningUp(CleaningUp { ending: Ending::Failed(_), .. }) => JobStatus::InProgress,
        }
    }

    /// From 0 to 100. A job that did not complete shows 0.
    pub fn progress_percent(&self) -> u8 {
        match &self.state {
            JobState::Queued(_)
            | JobState::Creating(_)
            | JobState::CleaningUp(_)
            | JobState::Failed(_)
            | JobState::Cancelled(_) => 0,
            JobState::Uploading(Uploading { size, sent, .. }) => {
                let percent = sent.saturating_mul(u64::from(SENT_PERCENT)).checked_div(*size).unwrap_or(0);
                u8::try_from(percent).map_or(SENT_PERCENT, |percent| percent.min(SENT_PERCENT))
            }
            JobState::Configuring(_) => CONFIGURING_PERCENT,
            JobState::Transcoding(_) => TRANSCODING_PERCENT,
            JobState::Scheduled(_) | JobState::Publishing(_) => PUBLISHING_PERCENT,
            JobState::Completed(_) => 100,
        }
    }

    /// The size in bytes, if known.
    pub fn bytes_total(&self) -> Option<u64> {
        match &self.state {
            JobState::Queued(_) | JobState::Creating(_) => self.size(),
            JobState::Uploading(Uploading { size, .. })
            | JobState::Configuring(Configuring { size, .. })
            | JobState::Transcoding(Transcoding { size, .. })
            | JobState::Scheduled(Scheduled { size, .. })
            | JobState::Publishing(Publishing { size, .. })
            | JobState::Completed(Completed { size, .. }) => Some(*size),
            JobState::CleaningUp(CleaningUp { size, .. })
            | JobState::Failed(Failed { size, .. })
            | JobState::Cancelled(Cancelled { size, .. }) => size.or_else(|| self.size()),
        }
    }

    /// Bytes that are at Vimeo, if known.
    pub fn bytes_sent(&self) -> Option<u64> {
        match &self.state {
            JobState::Queued(_) | JobState::Creating(_) => Some(0),
            JobState::Uploading(Uploading { sent, .. }) => Some(*sent),
            JobState::Configuring(Configuring { size, .. })
            | JobState::Transcoding(Transcoding { size, .. })
            | JobState::Scheduled(Scheduled { size, .. })
            | JobState::Publishing(Publishing { size, .. })
            | JobState::Completed(Completed { size, .. }) => Some(*size),
            JobState::CleaningUp(_) | JobState::Failed(_) | JobState::Cancelled(_) => None,
        }
    }

    /// Seconds that the remaining bytes take at the recent rate, rounded up; `None` while no bytes are sent.
    pub fn seconds_left(&self) -> Option<u64> {
        let JobState::Uploading(Uploading { size, sent, .. }) = &self.state else { return None };
        let rate = self.bytes_per_second.filter(|rate| *rate > 0)?;
        Some(size.saturating_sub(*sent).div_ceil(rate))
    }

    /// The video at Vimeo; of a job that failed or was cancelled, the one that is left there; of a replacement, the one that
    /// is replaced.
    pub fn video(&self) -> Option<VideoNumber> {
        self.replaces.or_else(|| self.target().map(Target::video))
    }

    /// What the upload created at Vimeo; of a job that failed or was cancelled, what is left there.
    pub fn target(&self) -> Option<Target> {
        match &self.state {
            JobState::Queued(_) | JobState::Creating(_) => None,
            JobState::Uploading(Uploading { target, .. })
            | JobState::Configuring(Configuring { target, .. })
            | JobState::Transcoding(Transcoding { target, .. }) => Some(*target),
            JobState::Scheduled(Scheduled { video, .. })
            | JobState::Publishing(Publishing { video, .. })
            | JobState::Completed(Completed { video, .. }) => Some(Target::Video(*video)),
            JobState::CleaningUp(CleaningUp { target, .. })
            | JobState::Failed(Failed { target, .. })
            | JobState::Cancelled(Cancelled { target, .. }) => *target,
        }
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.state {
            JobState::Failed(failed) => Some(&failed.failure),
            _ => None,
        }
    }

    /// A message that says why it failed, and where its video was kept.
    pub fn failure_message(&self) -> Option<String> {
        let JobState::Failed(Failed { failure, target, kept, .. }) = &self.state else { return None };
        let message = &failure.message;
        Some(match (target, kept) {
            (Some(version @ Target::Version(_)), Some(_)) => {
                format!("{message} The new version was kept at {version}.")
            }
            (Some(video), Some(Kept::Closed)) => {
                format!("{message} The video was kept, closed, at {video}.")
            }
            (Some(video), Some(Kept::AsIs)) => format!("{message} The video was kept at {video}."),
            _ => message.clone(),
        })
    }

    /// The warnings of the job, and one for each video that is left at Vimeo.
    pub fn all_warnings(&self) -> Vec<String> {
        let undeleted = self.undeleted.iter();
        let undeleted =
            undeleted.map(|video| format!("{video} could not be deleted at Vimeo; delete it there."));
        let mut warnings: Vec<_> = self.warnings.iter().cloned().chain(undeleted).collect();
        let left = match &self.state {
            JobState::Failed(Failed { target, kept: None, .. })
            | JobState::Cancelled(Cancelled { target, .. }) => *target,
            JobState::Failed(_) | JobState::Completed(_) => None,
            // Without the connection nothing can be deleted.
            _ => self.target().filter(|_| self.is_connection_deleted),
        };
        if let Some(video) = left.filter(|video| !self.undeleted.contains(video)) {
            warnings.push(format!("{video} is left at Vimeo."));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::job_in;
    use crate::job::{Creating, FailureCode, Fetch, Queued, SourceFacts};
    use crate::time::Timestamp;

    const SIZE: u64 = 1_000;

    fn job(state: JobState) -> Job {
        let facts = SourceFacts { length: SIZE, validator: None, marks: None, fetch: Fetch::Ranged };
        Job { facts: Some(facts), bytes_per_second: Some(300), ..job_in(state) }
    }

    fn video() -> VideoNumber {
        VideoNumber::from_stored(12)
    }

    fn uploading(sent: u64) -> JobState {
        JobState::Uploading(Uploading { target: video().into(), size: SIZE, sent, restarts: 0 })
    }

    fn failure(message: &str) -> Failure {
        Failure { code: FailureCode::VimeoRefused, message: message.to_owned() }
    }

    #[test]
    fn progress_increases_from_state_to_state() {
        let at = Timestamp::from_millis(1);
        let creating = Creating { deadline_at: at, probes: 0, restarts: 0, orphan: None };
        let (size, video) = (SIZE, video());
        let configuring = Configuring::new(video.into(), size);
        let done = Completed { video, size, link: "https://vimeo.com/12".to_owned(), player: None };
        let rows = [
            (JobState::Queued(Queued::default()), 0, Some(0), None),
            (JobState::Creating(creating), 0, Some(0), None),
            (uploading(0), 0, Some(0), Some(4)),
            (uploading(999), 89, Some(999), Some(1)),
            (JobState::Configuring(configuring.part_done()), 92, Some(size), None),
            (JobState::Transcoding(configuring.configured()), 95, Some(size), None),
            (JobState::Scheduled(Scheduled { video, size }), 99, Some(size), None),
            (JobState::Publishing(Publishing { video, size }), 99, Some(size), None),
            (JobState::Completed(done), 100, Some(size), None),
        ];
        for (state, percent, sent, left) in rows {
            let job = job(state);
            let has_ended = job.state.has_ended();
            let seen = (job.progress_percent(), job.bytes_sent(), job.seconds_left());
            assert_eq!(seen, (percent, sent, left), "{job:?}");
            assert_eq!(job.bytes_total(), Some(SIZE));
            assert_eq!(job.status() == JobStatus::Completed, has_ended);
        }
    }

    #[test]
    fn an_estimate_needs_a_rate_and_does_not_overflow() {
        let still = Job { bytes_per_second: Some(0), ..job(uploading(1)) };
        assert_eq!(still.seconds_left(), None);
        assert_eq!(Job { bytes_per_second: None, ..still }.seconds_left(), None);
        let empty = JobState::Uploading(Uploading { target: video().into(), size: 0, sent: 0, restarts: 0 });
        assert_eq!(job(empty).progress_percent(), 0);
        let huge =
            JobState::Uploading(Uploading { target: video().into(), size: 1, sent: u64::MAX, restarts: 0 });
        assert_eq!((job(huge.clone()).progress_percent(), job(huge).seconds_left()), (90, Some(0)));
    }

    #[test]
    fn a_cancellation_is_visible_at_once_and_a_failure_once_it_is_final() {
        let cancelled = job(job(uploading(5)).cancel().unwrap());
        assert_eq!(cancelled.status(), JobStatus::Cancelled);
        let failing = job(job(uploading(5)).fail(failure("No.")).unwrap());
        assert_eq!((failing.status(), failing.failure()), (JobStatus::InProgress, None));
        assert_eq!(failing.video(), Some(video()));
        let JobState::CleaningUp(cleaning) = failing.state else { panic!() };
        let failed = job(cleaning.ended(None));
        assert_eq!((failed.status(), failed.video()), (JobStatus::Failed, None));
        assert_eq!(failed.failure_message().unwrap(), "No.");
        assert!(!failed.status().may_complete() && failed.all_warnings().is_empty());
        let orphaned = Job { is_connection_deleted: true, ..job(uploading(5)) };
        assert_eq!(orphaned.status(), JobStatus::Cancelled, "its connection was deleted");
        assert_eq!(orphaned.all_warnings(), ["/videos/12 is left at Vimeo."]);
    }

    #[test]
    fn each_video_left_at_vimeo_is_named_once() {
        let failed = |kept| {
            let target = Some(video().into());
            let failed = Failed { failure: failure("Not like /videos/12."), target, kept, size: None };
            job(JobState::Failed(failed))
        };
        assert_eq!(failed(None).all_warnings(), ["/videos/12 is left at Vimeo."]);
        assert!(failed(Some(Kept::Closed)).all_warnings().is_empty(), "the message names it");
        let cancelled = job(JobState::Cancelled(Cancelled { target: Some(video().into()), size: None }));
        assert_eq!(cancelled.all_warnings(), ["/videos/12 is left at Vimeo."]);
        let undeleted =
            Job { undeleted: vec![video().into(), VideoNumber::from_stored(13).into()], ..cancelled };
        let expected = ["/videos/12", "/videos/13"]
            .map(|uri| format!("{uri} could not be deleted at Vimeo; delete it there."));
        assert_eq!(undeleted.all_warnings(), expected);
    }

    #[test]
    fn a_replacement_names_its_video_and_the_version_that_is_left() {
        let version = Target::from_stored(Some(video()), 5);
        let failed = Failed { failure: failure("No."), target: Some(version), kept: None, size: None };
        let failed = Job { replaces: Some(video()), ..job(JobState::Failed(failed.clone())) };
        assert_eq!(failed.video(), Some(video()));
        assert_eq!(failed.all_warnings(), ["/videos/12/versions/5 is left at Vimeo."]);
        let JobState::Failed(state) = &failed.state else { panic!() };
        let state = JobState::Failed(Failed { kept: Some(Kept::Closed), ..state.clone() });
        let kept = Job { state, ..failed };
        let message = kept.failure_message().unwrap();
        assert_eq!(message, "No. The new version was kept at /videos/12/versions/5.");
    }
}
