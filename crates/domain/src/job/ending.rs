//! How a job ends otherwise than completed: what is deleted at Vimeo, and what is kept.
//!
//! Once all bytes may be at Vimeo, only a cancellation leads to `Abandoning`, and so to a deletion.

use super::{
    Abandoning, Accepted, Creating, End, Failed, Failure, FailureCode, Finishing, Job, JobState, Sending,
    SourceKind, Transcoding,
};
use crate::video::VideoNumber;

impl Sending {
    /// Whether every byte has left, so that Vimeo may have all of them whatever it answers now.
    pub fn may_be_whole(&self) -> bool {
        self.sent >= self.size
    }
}

impl JobState {
    /// Gives it up: to the end at once if nothing can be at Vimeo, or if a failure leaves a video there that may be whole;
    /// else through the taking away. `None` if it has ended, or is being given up already.
    pub fn abandon(self, end: &End, size: Option<u64>) -> Option<Self> {
        let abandoning = |video, doubt| Abandoning { end: end.clone(), doubt, video, size };
        if let (End::Failed(failure), Some(whole)) = (end, self.whole_video()) {
            return Some(Self::Failed(whole.kept(failure.clone())));
        }
        Some(match self {
            Self::Accepted(Accepted { discarded: None, restarts: 0 }) => abandoning(None, None).ended(None),
            Self::Accepted(Accepted { discarded, .. }) => Self::Abandoning(abandoning(discarded, None)),
            Self::Creating(creating) => {
                Self::Abandoning(abandoning(creating.discarded, Some(Creating { looks: 0, ..creating })))
            }
            Self::Sending(Sending { video, .. })
            | Self::Finishing(Finishing { video, .. })
            | Self::Transcoding(Transcoding { video, .. }) => Self::Abandoning(abandoning(Some(video), None)),
            Self::Abandoning(_) | Self::Completed(_) | Self::Failed(_) | Self::Cancelled(_) => return None,
        })
    }

    /// The video and its size, if all of its bytes are or may be at Vimeo.
    fn whole_video(&self) -> Option<Whole> {
        match self {
            Self::Sending(sending) if sending.may_be_whole() => {
                Some(Whole::closed(sending.video, sending.size))
            }
            Self::Finishing(Finishing { video, size }) => Some(Whole::closed(*video, *size)),
            // Whether the request that opens it was carried out is not always known.
            Self::Transcoding(Transcoding { video, size }) => {
                Some(Whole { video: *video, size: *size, how: "kept" })
            }
            _ => None,
        }
    }
}

impl Job {
    /// What a failure makes of it; `None` if it has ended, or is being given up already.
    pub fn fail(&self, failure: Failure) -> Option<JobState> {
        match &self.state {
            // How many bytes a client has sent since it was last asked is not known, unless it is known that it sends none.
            JobState::Sending(Sending { video, size, .. })
                if self.source == SourceKind::Client && failure.code != FailureCode::NothingSent =>
            {
                Some(JobState::Failed(Whole::closed(*video, *size).kept(failure)))
            }
            state => state.clone().abandon(&End::Failed(failure), self.size()),
        }
    }
}

/// A video that may be whole, and how it is kept.
struct Whole {
    video: VideoNumber,
    size: u64,
    how: &'static str,
}

impl Whole {
    fn closed(video: VideoNumber, size: u64) -> Self {
        Self { video, size, how: "kept, closed," }
    }

    fn kept(self, failure: Failure) -> Failed {
        let Self { video, size, how } = self;
        if failure.code == FailureCode::VideoDeleted {
            return Failed { failure, video: None, size: Some(size) };
        }
        let message = format!("{} The video was {how} at {video}.", failure.message);
        Failed { failure: Failure { message, ..failure }, video: Some(video), size: Some(size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AccountId, ConnectionId};
    use crate::job::{Completed, JobId, Troubles, Webhook};
    use crate::time::Timestamp;

    const SIZE: u64 = 10;

    fn video() -> VideoNumber {
        VideoNumber::from_stored(3)
    }

    fn sending(sent: u64) -> JobState {
        JobState::Sending(Sending { video: video(), size: SIZE, sent, restarts: 0 })
    }

    fn job(state: JobState, source: SourceKind) -> Job {
        let at = Timestamp::from_millis(1_000);
        Job {
            id: JobId::make(at, [7; 10]),
            account_id: AccountId::from_random([1; 16]),
            connection_id: ConnectionId::from_stored("20260131090500042k3v9x0q2m7t1b8z".to_owned()),
            created_at: at,
            updated_at: at,
            version: 1,
            source,
            facts: None,
            state,
            bytes_per_second: None,
            warnings: Vec::new(),
            troubles: Troubles::none(at),
            webhook: Webhook::None,
        }
    }

    #[test]
    fn no_failure_of_any_code_takes_away_a_video_that_may_be_whole() {
        let (video, size) = (video(), SIZE);
        let whole = [
            sending(SIZE),
            JobState::Finishing(Finishing { video, size }),
            JobState::Transcoding(Transcoding { video, size }),
        ];
        for (state, code, source) in whole.iter().flat_map(|state| {
            FailureCode::ALL.iter().flat_map(move |code| {
                [SourceKind::Url, SourceKind::Client].map(|source| (state.clone(), *code, source))
            })
        }) {
            let how = if matches!(state, JobState::Transcoding(_)) { "kept" } else { "kept, closed," };
            let failed = job(state, source).fail(Failure { code, message: "No.".to_owned() }).unwrap();
            let JobState::Failed(failed) = failed else { panic!("{failed:?}") };
            if code == FailureCode::VideoDeleted {
                assert_eq!((failed.video, &*failed.failure.message), (None, "No."), "somebody else did");
                continue;
            }
            assert_eq!((failed.video, failed.size, failed.failure.code), (Some(video), Some(SIZE), code));
            assert_eq!(failed.failure.message, format!("No. The video was {how} at /videos/3."));
        }
        for state in whole {
            let cancelled = state.abandon(&End::Cancelled, Some(SIZE));
            assert!(
                matches!(&cancelled, Some(JobState::Abandoning(abandoning)) if abandoning.video == Some(video)),
                "a cancellation takes it away: {cancelled:?}"
            );
        }
    }

    #[test]
    fn what_a_client_has_sent_is_taken_away_only_when_it_sends_nothing() {
        for code in FailureCode::ALL {
            let failure = Failure { code: *code, message: "No.".to_owned() };
            let failed = job(sending(4), SourceKind::Client).fail(failure.clone()).unwrap();
            let is_kept = matches!(failed, JobState::Failed(_));
            assert_eq!(is_kept, *code != FailureCode::NothingSent, "{code:?}");
            let failed = job(sending(4), SourceKind::Url).fail(failure).unwrap();
            assert!(matches!(failed, JobState::Abandoning(_)), "our own bytes are counted: {failed:?}");
        }
    }

    #[test]
    fn what_is_over_does_not_fail() {
        let done = Completed { video: video(), size: SIZE, link: String::new(), player: None };
        let failure = Failure { code: FailureCode::VimeoRefused, message: "No.".to_owned() };
        assert_eq!(job(JobState::Completed(done), SourceKind::Url).fail(failure), None);
    }
}
