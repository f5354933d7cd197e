//! How a job looks from outside: how far it is, how long it will take, what there is of it at Vimeo.

use super::{
    Abandoning, Cancelled, Completed, End, Failed, Failure, Finishing, Job, JobState, Sending, Transcoding,
};
use crate::video::VideoNumber;

/// The progress of a job all of whose bytes are at Vimeo; what was sent counts up to here.
const SENT_PERCENT: u8 = 90;
/// The progress while the settings are made.
const FINISHING_PERCENT: u8 = 92;
/// The progress while Vimeo makes the video playable.
const TRANSCODING_PERCENT: u8 = 95;

/// What became of a job so far, for whoever waits for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// It goes on.
    InProgress,
    /// The video is there as it was asked for.
    Completed,
    /// It ended otherwise.
    Failed,
    /// It was not wanted any more.
    Cancelled,
}

impl JobStatus {
    /// All of them.
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

    /// `false` once the video will not come to be.
    pub fn is_good(self) -> bool {
        matches!(self, Self::InProgress | Self::Completed)
    }
}

impl Job {
    /// What became of it. A cancellation counts from the moment it is wished for; a failure is told when it is complete.
    pub fn status(&self) -> JobStatus {
        match &self.state {
            JobState::Completed(_) => JobStatus::Completed,
            JobState::Failed(_) => JobStatus::Failed,
            JobState::Cancelled(_) | JobState::Abandoning(Abandoning { end: End::Cancelled, .. }) => {
                JobStatus::Cancelled
            }
            JobState::Accepted(_)
            | JobState::Creating(_)
            | JobState::Sending(_)
            | JobState::Finishing(_)
            | JobState::Transcoding(_)
            | JobState::Abandoning(Abandoning { end: End::Failed(_), .. }) => JobStatus::InProgress,
        }
    }

    /// From 0 to 100. How far a job had come that will not be completed is not kept.
    pub fn progress_percent(&self) -> u8 {
        match &self.state {
            JobState::Accepted(_)
            | JobState::Creating(_)
            | JobState::Abandoning(_)
            | JobState::Failed(_)
            | JobState::Cancelled(_) => 0,
            JobState::Sending(Sending { size, sent, .. }) => {
                let percent = sent.saturating_mul(u64::from(SENT_PERCENT)).checked_div(*size).unwrap_or(0);
                u8::try_from(percent).map_or(SENT_PERCENT, |percent| percent.min(SENT_PERCENT))
            }
            JobState::Finishing(_) => FINISHING_PERCENT,
            JobState::Transcoding(_) => TRANSCODING_PERCENT,
            JobState::Completed(_) => 100,
        }
    }

    /// How many bytes there are in all, if that is known.
    pub fn bytes_total(&self) -> Option<u64> {
        match &self.state {
            JobState::Accepted(_) | JobState::Creating(_) => self.size(),
            JobState::Sending(Sending { size, .. })
            | JobState::Finishing(Finishing { size, .. })
            | JobState::Transcoding(Transcoding { size, .. })
            | JobState::Completed(Completed { size, .. }) => Some(*size),
            JobState::Abandoning(Abandoning { size, .. })
            | JobState::Failed(Failed { size, .. })
            | JobState::Cancelled(Cancelled { size, .. }) => size.or_else(|| self.size()),
        }
    }

    /// How many of them are at Vimeo, if that is known.
    pub fn bytes_sent(&self) -> Option<u64> {
        match &self.state {
            JobState::Accepted(_) | JobState::Creating(_) => Some(0),
            JobState::Sending(Sending { sent, .. }) => Some(*sent),
            JobState::Finishing(Finishing { size, .. })
            | JobState::Transcoding(Transcoding { size, .. })
            | JobState::Completed(Completed { size, .. }) => Some(*size),
            JobState::Abandoning(_) | JobState::Failed(_) | JobState::Cancelled(_) => None,
        }
    }

    /// How many seconds the rest of the bytes takes at the rate of lately, rounded up; `None` while no bytes flow.
    pub fn seconds_left(&self) -> Option<u64> {
        let JobState::Sending(Sending { size, sent, .. }) = &self.state else { return None };
        let rate = self.bytes_per_second.filter(|rate| *rate > 0)?;
        Some(size.saturating_sub(*sent).div_ceil(rate))
    }

    /// The video at Vimeo, while there is one; of a job that ended otherwise, what is left there.
    pub fn video(&self) -> Option<VideoNumber> {
        match &self.state {
            JobState::Accepted(_) | JobState::Creating(_) => None,
            JobState::Sending(Sending { video, .. })
            | JobState::Finishing(Finishing { video, .. })
            | JobState::Transcoding(Transcoding { video, .. })
            | JobState::Completed(Completed { video, .. }) => Some(*video),
            JobState::Abandoning(Abandoning { video, .. })
            | JobState::Failed(Failed { video, .. })
            | JobState::Cancelled(Cancelled { video, .. }) => *video,
        }
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.state {
            JobState::Failed(failed) => Some(&failed.failure),
            _ => None,
        }
    }

    /// Everything that went less well than asked for, in sentences: also what is left at Vimeo of a job that ended
    /// otherwise, unless it is named already.
    pub fn all_warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        let (JobState::Failed(Failed { video: Some(video), .. })
        | JobState::Cancelled(Cancelled { video: Some(video), .. })) = &self.state
        else {
            return warnings;
        };
        let uri = video.to_string();
        let message = self.failure().map(|failure| &failure.message);
        if !warnings.iter().chain(message).any(|text| names(text, &uri)) {
            warnings.push(format!("{uri} is left at Vimeo."));
        }
        warnings
    }
}

/// Whether a text names a video, and not another one whose number begins alike.
fn names(text: &str, uri: &str) -> bool {
    text.split(uri).skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AccountId, ConnectionId};
    use crate::job::{
        Accepted, Creating, FailureCode, Fetch, JobId, SourceFacts, SourceKind, Troubles, Webhook,
    };
    use crate::time::Timestamp;

    const SIZE: u64 = 1_000;

    fn job(state: JobState) -> Job {
        let at = Timestamp::from_millis(1_000);
        Job {
            id: JobId::make(at, [7; 10]),
            account_id: AccountId::from_random([1; 16]),
            connection_id: ConnectionId::from_stored("20260131090500042k3v9x0q2m7t1b8z".to_owned()),
            created_at: at,
            updated_at: at,
            version: 1,
            source: SourceKind::Url,
            facts: Some(SourceFacts { length: SIZE, validator: None, marks: None, fetch: Fetch::Ranged }),
            state,
            bytes_per_second: Some(300),
            warnings: Vec::new(),
            troubles: Troubles::none(at),
            webhook: Webhook::None,
        }
    }

    fn video() -> VideoNumber {
        VideoNumber::from_stored(12)
    }

    fn sending(sent: u64) -> JobState {
        JobState::Sending(Sending { video: video(), size: SIZE, sent, restarts: 0 })
    }

    fn failure(message: &str) -> Failure {
        Failure { code: FailureCode::VimeoRefused, message: message.to_owned() }
    }

    #[test]
    fn progress_goes_on_from_state_to_state() {
        let at = Timestamp::from_millis(1);
        let creating = Creating { deadline_at: at, looks: 0, restarts: 0, discarded: None };
        let (size, video) = (SIZE, video());
        let done = Completed { video, size, link: "https://vimeo.com/12".to_owned(), player: None };
        let rows = [
            (JobState::Accepted(Accepted::default()), 0, Some(0), None),
            (JobState::Creating(creating), 0, Some(0), None),
            (sending(0), 0, Some(0), Some(4)),
            (sending(999), 89, Some(999), Some(1)),
            (JobState::Finishing(Finishing { video, size }), 92, Some(size), None),
            (JobState::Transcoding(Transcoding { video, size }), 95, Some(size), None),
            (JobState::Completed(done), 100, Some(size), None),
        ];
        for (state, percent, sent, left) in rows {
            let job = job(state);
            let is_over = job.state.is_over();
            let seen = (job.progress_percent(), job.bytes_sent(), job.seconds_left());
            assert_eq!(seen, (percent, sent, left), "{job:?}");
            assert_eq!(job.bytes_total(), Some(SIZE));
            assert_eq!(job.status() == JobStatus::Completed, is_over);
        }
    }

    #[test]
    fn an_estimate_needs_a_rate_and_no_number_is_too_large() {
        let still = Job { bytes_per_second: Some(0), ..job(sending(1)) };
        assert_eq!(still.seconds_left(), None);
        assert_eq!(Job { bytes_per_second: None, ..still }.seconds_left(), None);
        let empty = JobState::Sending(Sending { video: video(), size: 0, sent: 0, restarts: 0 });
        assert_eq!(job(empty).progress_percent(), 0);
        let huge = JobState::Sending(Sending { video: video(), size: 1, sent: u64::MAX, restarts: 0 });
        assert_eq!((job(huge.clone()).progress_percent(), job(huge).seconds_left()), (90, Some(0)));
    }

    #[test]
    fn a_cancellation_is_told_at_once_and_a_failure_at_its_end() {
        let given_up = |end: End| job(sending(5).abandon(&end, Some(SIZE)).unwrap());
        assert_eq!(given_up(End::Cancelled).status(), JobStatus::Cancelled);
        let failing = given_up(End::Failed(failure("No.")));
        assert_eq!((failing.status(), failing.failure()), (JobStatus::InProgress, None));
        assert_eq!(failing.video(), Some(video()));
        let JobState::Abandoning(abandoning) = failing.state else { panic!() };
        let failed = job(abandoning.ended(None));
        assert_eq!((failed.status(), failed.video()), (JobStatus::Failed, None));
        assert_eq!(failed.failure().unwrap().message, "No.");
        assert!(!failed.status().is_good() && failed.all_warnings().is_empty());
    }

    #[test]
    fn what_is_left_at_vimeo_is_named_once() {
        let left = |message: &str| {
            let failed = Failed { failure: failure(message), video: Some(video()), size: None };
            job(JobState::Failed(failed)).all_warnings()
        };
        assert_eq!(left("No."), ["/videos/12 is left at Vimeo."]);
        assert_eq!(left("Not like /videos/123."), ["/videos/12 is left at Vimeo."]);
        assert!(left("It stays at /videos/12.").is_empty());
        let cancelled = job(JobState::Cancelled(Cancelled { video: Some(video()), size: None }));
        assert_eq!(cancelled.all_warnings(), ["/videos/12 is left at Vimeo."]);
        let warned = Job { warnings: vec!["/videos/12 could not be deleted.".to_owned()], ..cancelled };
        assert_eq!(warned.all_warnings(), ["/videos/12 could not be deleted."]);
    }
}
