//! How a job ends without completing: what is deleted at Vimeo, and what is kept.
//!
//! Once all bytes may be at Vimeo, only a cancellation leads to `CleaningUp`, and so to a deletion.

use super::{
    CleaningUp, Creating, Ending, Failed, Failure, FailureCode, Job, JobState, Kept, Queued, SourceKind,
    Target, Uploading,
};

impl Job {
    /// The state after a cancellation; `None` if the job has ended or is already cancelled.
    pub fn cancel(&self) -> Option<JobState> {
        match &self.state {
            // The failure is not visible yet: the job counts as cancelled from now on.
            JobState::CleaningUp(cleaning) if cleaning.ending != Ending::Cancelled => {
                Some(JobState::CleaningUp(CleaningUp { ending: Ending::Cancelled, ..cleaning.clone() }))
            }
            state => state.clone().end(&Ending::Cancelled, self.size()),
        }
    }

    /// The state after a failure; `None` if the job has ended or is already being cleaned up.
    pub fn fail(&self, failure: Failure) -> Option<JobState> {
        match &self.state {
            // How many bytes a client has sent since Vimeo last reported them is unknown, unless it sent none.
            JobState::Uploading(Uploading { target, size, .. })
                if self.source == SourceKind::Client && !is_before_first_byte(failure.code) =>
            {
                Some(keep(*target, *size, Kept::Closed, failure))
            }
            state => state.clone().end(&Ending::Failed(failure), self.size()),
        }
    }

    /// Ends the job without requests to Vimeo, because there are no credentials. The end state names a video that may be left
    /// at Vimeo. `None` if the job has ended.
    pub fn end_offline(&self, ending: &Ending) -> Option<EndedOffline> {
        let state = match &self.state {
            state if state.has_ended() => return None,
            JobState::CleaningUp(cleaning) => JobState::CleaningUp(cleaning.clone()),
            state => state.clone().end(ending, self.size())?,
        };
        Some(match state {
            JobState::CleaningUp(cleaning) => {
                let (left, is_unconfirmed) = (cleaning.target, cleaning.unconfirmed.is_some());
                EndedOffline { state: cleaning.ended(left), is_unconfirmed }
            }
            state => EndedOffline { state, is_unconfirmed: false },
        })
    }
}

/// Whether a client's upload fails like this only if it has sent nothing.
fn is_before_first_byte(code: FailureCode) -> bool {
    // A view is refused before the client learns its link.
    matches!(code, FailureCode::UploadLinkExpired | FailureCode::PrivacyNotAllowed)
}

/// A job that ended without requests to Vimeo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedOffline {
    /// The end state.
    pub state: JobState,
    /// Whether Vimeo may have a placeholder whose create was not confirmed.
    pub is_unconfirmed: bool,
}

impl JobState {
    /// Ends the job: at once if nothing can be at Vimeo, or if a failure leaves a video there that may be whole; otherwise
    /// through cleaning up. `None` if it has ended or is already being cleaned up.
    fn end(self, ending: &Ending, size: Option<u64>) -> Option<Self> {
        let cleaning = |target, unconfirmed| CleaningUp { ending: ending.clone(), unconfirmed, target, size };
        if let (Ending::Failed(failure), Some((target, size, kept))) = (ending, self.whole()) {
            return Some(keep(target, size, kept, failure.clone()));
        }
        Some(match self {
            Self::Queued(Queued { orphan: None, restarts: 0 }) => cleaning(None, None).ended(None),
            Self::Queued(Queued { orphan, .. }) => Self::CleaningUp(cleaning(orphan, None)),
            Self::Creating(creating) => {
                Self::CleaningUp(cleaning(creating.orphan, Some(Creating { probes: 0, ..creating })))
            }
            Self::Uploading(_)
            | Self::Configuring(_)
            | Self::Transcoding(_)
            | Self::Scheduled(_)
            | Self::Publishing(_) => Self::CleaningUp(cleaning(self.placeholder(), None)),
            Self::CleaningUp(_) | Self::Completed(_) | Self::Failed(_) | Self::Cancelled(_) => return None,
        })
    }

    /// The placeholder of the upload.
    fn placeholder(&self) -> Option<Target> {
        match self {
            Self::Uploading(uploading) => Some(uploading.target),
            Self::Configuring(configuring) => Some(configuring.target),
            Self::Transcoding(transcoding) => Some(transcoding.target),
            Self::Scheduled(scheduled) => Some(scheduled.video.into()),
            Self::Publishing(publishing) => Some(publishing.video.into()),
            _ => None,
        }
    }

    /// What was uploaded, its size and how a failure keeps it, if all of its bytes are or may be at Vimeo.
    fn whole(&self) -> Option<(Target, u64, Kept)> {
        match self {
            Self::Uploading(uploading) if uploading.may_be_whole() => {
                Some((uploading.target, uploading.size, Kept::Closed))
            }
            Self::Configuring(configuring) => Some((configuring.target, configuring.size, Kept::Closed)),
            Self::Transcoding(transcoding) => Some((transcoding.target, transcoding.size, Kept::Closed)),
            Self::Scheduled(scheduled) => Some((scheduled.video.into(), scheduled.size, Kept::Closed)),
            // It is not always known whether Vimeo executed the request that opens it.
            Self::Publishing(publishing) => Some((publishing.video.into(), publishing.size, Kept::AsIs)),
            _ => None,
        }
    }
}

fn keep(target: Target, size: u64, kept: Kept, failure: Failure) -> JobState {
    let is_deleted = failure.code == FailureCode::VideoDeleted;
    let (target, kept) = if is_deleted { (None, None) } else { (Some(target), Some(kept)) };
    JobState::Failed(Failed { failure, target, kept, size: Some(size) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::job_in;
    use crate::job::{Completed, Configuring, JobStatus, Publishing, Scheduled};
    use crate::time::Timestamp;
    use crate::video::VideoNumber;

    const SIZE: u64 = 10;

    fn video() -> VideoNumber {
        VideoNumber::from_stored(3)
    }

    fn uploading(sent: u64) -> JobState {
        JobState::Uploading(Uploading { target: video().into(), size: SIZE, sent, restarts: 0 })
    }

    fn job(state: JobState, source: SourceKind) -> Job {
        Job { source, ..job_in(state) }
    }

    #[test]
    fn no_failure_of_any_code_deletes_a_video_that_may_be_whole() {
        let (video, size) = (video(), SIZE);
        let configuring = Configuring::new(video.into(), size);
        let whole = [
            uploading(SIZE),
            JobState::Configuring(configuring),
            JobState::Transcoding(configuring.configured()),
            JobState::Scheduled(Scheduled { video, size }),
            JobState::Publishing(Publishing { video, size }),
        ];
        for (state, code, source) in whole.iter().flat_map(|state| {
            FailureCode::ALL.iter().flat_map(move |code| {
                [SourceKind::Url, SourceKind::Client].map(|source| (state.clone(), *code, source))
            })
        }) {
            let how = if matches!(state, JobState::Publishing(_)) { "kept" } else { "kept, closed," };
            let failed = job(state, source).fail(Failure { code, message: "No.".to_owned() }).unwrap();
            let shown = job(failed.clone(), source);
            let JobState::Failed(failed) = failed else { panic!("{failed:?}") };
            if code == FailureCode::VideoDeleted {
                assert_eq!((failed.target, shown.failure_message().unwrap().as_str()), (None, "No."));
                continue;
            }
            assert_eq!(
                (failed.target, failed.size, failed.failure.code),
                (Some(video.into()), Some(SIZE), code)
            );
            assert_eq!(shown.failure_message().unwrap(), format!("No. The video was {how} at /videos/3."));
        }
        for state in whole {
            let cancelled = job(state, SourceKind::Url).cancel();
            assert!(
                matches!(&cancelled, Some(JobState::CleaningUp(cleaning)) if cleaning.target == Some(video.into())),
                "a cancellation deletes it: {cancelled:?}"
            );
        }
    }

    #[test]
    fn a_failure_deletes_a_clients_upload_only_if_it_sent_nothing() {
        for code in FailureCode::ALL {
            let failure = Failure { code: *code, message: "No.".to_owned() };
            let failed = job(uploading(4), SourceKind::Client).fail(failure.clone()).unwrap();
            let is_kept = matches!(failed, JobState::Failed(_));
            let is_early = [FailureCode::UploadLinkExpired, FailureCode::PrivacyNotAllowed].contains(code);
            assert_eq!(is_kept, !is_early, "{code:?}");
            let failed = job(uploading(4), SourceKind::Url).fail(failure).unwrap();
            assert!(matches!(failed, JobState::CleaningUp(_)), "our own bytes are counted: {failed:?}");
        }
    }

    #[test]
    fn a_job_that_has_ended_neither_fails_nor_is_cancelled() {
        let done = Completed { video: video(), size: SIZE, link: String::new(), player: None };
        let failure = Failure { code: FailureCode::VimeoRefused, message: "No.".to_owned() };
        let done = job(JobState::Completed(done), SourceKind::Url);
        assert_eq!(done.fail(failure), None);
        assert_eq!(done.cancel(), None);
        assert_eq!(done.end_offline(&Ending::Cancelled), None);
    }

    #[test]
    fn a_cancellation_cleans_up_whatever_each_state_may_have_created() {
        let cancelled = |state: JobState| job(state, SourceKind::Url).cancel();
        let JobState::Cancelled(nothing_left) = cancelled(JobState::Queued(Queued::default())).unwrap()
        else {
            panic!("nothing is at Vimeo");
        };
        assert_eq!(nothing_left.target, None);
        let orphan = JobState::Queued(Queued { restarts: 1, orphan: Some(video().into()) });
        let Some(JobState::CleaningUp(cleaning)) = cancelled(orphan) else { panic!() };
        assert_eq!((cleaning.target, cleaning.unconfirmed), (Some(video().into()), None));
        let creating = Queued::default().begin_creating(Timestamp::from_millis(5));
        let Some(JobState::CleaningUp(cleaning)) = cancelled(JobState::Creating(creating)) else { panic!() };
        assert_eq!((cleaning.target, cleaning.unconfirmed), (None, Some(creating)));
        let failing = Ending::Failed(Failure { code: FailureCode::VimeoRefused, message: "No.".to_owned() });
        let failing =
            CleaningUp { ending: failing, unconfirmed: None, target: Some(video().into()), size: None };
        let failing = cancelled(JobState::CleaningUp(failing)).unwrap();
        assert_eq!(job(failing.clone(), SourceKind::Url).status(), JobStatus::Cancelled);
        assert_eq!(cancelled(failing), None, "once");
    }

    #[test]
    fn without_credentials_a_job_ends_at_once_and_names_the_video_left_at_vimeo() {
        let end = |state: JobState| job(state, SourceKind::Url).end_offline(&Ending::Cancelled).unwrap();
        let left = |ended: &EndedOffline| job(ended.state.clone(), SourceKind::Url).video();
        let queued = end(JobState::Queued(Queued::default()));
        assert_eq!((left(&queued), queued.is_unconfirmed), (None, false));
        let creating = end(JobState::Creating(Queued::default().begin_creating(Timestamp::from_millis(5))));
        assert_eq!((left(&creating), creating.is_unconfirmed), (None, true));
        let sent = end(uploading(4));
        assert_eq!((left(&sent), sent.is_unconfirmed), (Some(video()), false));
        assert!(sent.state.has_ended());
    }
}
