//! Requests for a video whose bytes are at Vimeo: what an answer other than success leads to. Never to a deletion.
//!
//! Refusals are retried with backoff for `uploads.confirm_seconds`, and then fail the job with its video kept.

use domain::job::{Failure, FailureCode, Refusal, Verdict};
use domain::video::VideoNumber;
use vimeo::Refused;

use super::CALL_TIMEOUT;
use super::attendance::{Attendance, Step, failure};
use super::held::Interrupt;

/// What a failed request for a whole video leads to.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    /// What it also leads to before the last byte: a pause, a retry, or an end because of the token.
    AsBefore(vimeo::Failure),
    /// Retries for a while.
    Refused(Failure),
}

fn judge(failed: vimeo::Failure) -> Judged {
    match failed {
        vimeo::Failure::Quota(said) => Judged::Refused(refused(FailureCode::QuotaExceeded, &said)),
        vimeo::Failure::Refused(said) => Judged::Refused(refused(FailureCode::VimeoRefused, &said)),
        vimeo::Failure::NotFound => Judged::Refused(failure(
            FailureCode::VimeoRefused,
            "Vimeo answered 404 to requests for the uploaded video.",
        )),
        failed @ (vimeo::Failure::RetryLater { .. }
        | vimeo::Failure::Unknown(_)
        | vimeo::Failure::Rejected(_)
        | vimeo::Failure::LacksScope(_)) => Judged::AsBefore(failed),
    }
}

fn refused(code: FailureCode, said: &Refused) -> Failure {
    failure(code, format!("Vimeo refused: {}.", said.text.trim_end_matches('.')))
}

/// Whether a refusal of a change is about what the change says, and not about the video, the token or the server.
pub(super) fn is_about_setting(said: &Refused) -> bool {
    said.status == 400 || said.status == 422 || said.code.is_some() || !said.parameters.is_empty()
}

impl Attendance<'_> {
    /// What a failed request leads to once all bytes are, or may be, at Vimeo.
    pub(super) fn step_of_whole(&self, failed: vimeo::Failure) -> Step {
        match judge(failed) {
            Judged::AsBefore(failed) => self.step_of(failed, FailureCode::VimeoRefused),
            Judged::Refused(failure) => Step::Refused(failure, Refusal::Other),
        }
    }

    /// The job fails, or the same is asked again after a pause.
    pub(super) async fn judge_refusal(
        &mut self,
        failure: Failure,
        refusal: Refusal,
    ) -> Result<Step, Interrupt> {
        let now = self.app.clock.now();
        self.held.job.troubles = self.held.job.troubles.refused(refusal, now);
        Ok(match self.held.job.troubles.verdict(now, self.uploads.options.confirm) {
            Verdict::Retry => Step::Trouble(failure),
            Verdict::Refused => Step::Fail(failure),
            Verdict::Missing => match self.held.job.video() {
                Some(video) => self.confirm_deletion(video).await,
                None => Step::Fail(failure),
            },
        })
    }

    /// Vimeo has answered 404 for long enough: the account's list decides.
    async fn confirm_deletion(&mut self, video: VideoNumber) -> Step {
        match self.is_listed(video).await {
            Ok(false) => Step::Fail(deleted()),
            Ok(true) => {
                let message = "Vimeo lists the uploaded video but answers 404 to every request for it.";
                Step::Fail(failure(FailureCode::VimeoUnavailable, message))
            }
            // Without the list nothing is certain: only the next answer, or the end of patience, decides.
            Err(failed) => match self.step_of_whole(failed) {
                Step::Refused(failure, _) => Step::Fail(failure),
                step => step,
            },
        }
    }

    async fn is_listed(&self, video: VideoNumber) -> Result<bool, vimeo::Failure> {
        for page in 1..=super::creating::PAGES_MAX {
            let listed = self.opened.session.list_newest_videos(page, CALL_TIMEOUT).await?;
            if listed.videos.iter().any(|listed| listed.video == video) {
                return Ok(true);
            }
            if self.is_older_than_job(&listed.videos) || listed.is_last {
                return Ok(false);
            }
        }
        Ok(false)
    }
}

/// 404 to a question for the video.
pub(super) fn missing() -> Step {
    let message = "Vimeo answered 404 to requests for the uploaded video.";
    Step::Refused(failure(FailureCode::VimeoRefused, message), Refusal::Missing)
}

fn deleted() -> Failure {
    failure(FailureCode::VideoDeleted, "The video was deleted at Vimeo.")
}

#[cfg(test)]
mod tests {
    use vimeo::{Parameter, TransportError};

    use super::*;

    fn said(status: u16, code: Option<i64>) -> Refused {
        Refused { status, code, text: "No".to_owned(), parameters: Vec::new() }
    }

    #[test]
    fn every_refusal_of_a_whole_video_is_retried() {
        for status in 400..=599 {
            for failed in [
                vimeo::Failure::Refused(said(status, None)),
                vimeo::Failure::Refused(said(status, Some(5_000))),
                vimeo::Failure::Quota(said(status, Some(4_101))),
                vimeo::Failure::NotFound,
            ] {
                assert!(matches!(judge(failed.clone()), Judged::Refused(_)), "{failed:?}");
            }
            let failed = vimeo::Failure::Unknown(TransportError::Status(status));
            assert_eq!(judge(failed.clone()), Judged::AsBefore(failed));
        }
    }

    #[test]
    fn a_setting_is_refused_by_400_or_by_a_code_and_by_nothing_else() {
        for (status, code, is_setting) in [
            (400, None, true),
            (422, None, true),
            (400, Some(2_204), true),
            (403, Some(3_200), true),
            (403, None, false),
            (404, None, false),
            (405, None, false),
            (409, None, false),
            (410, None, false),
            (423, None, false),
        ] {
            assert_eq!(is_about_setting(&said(status, code)), is_setting, "{status} {code:?}");
        }
        let parameter = Parameter { field: "privacy.view".to_owned(), code: None, text: String::new() };
        assert!(is_about_setting(&Refused { parameters: vec![parameter], ..said(403, None) }));
    }
}
