//! What a failed request to Vimeo means for a job. Nothing here asks anything.
//!
//! After the last byte, an answer other than success never leads to a deletion: it is retried for
//! `uploads.confirm_seconds`, and then fails the job with its video kept.

use std::time::Duration;

use domain::job::{Failure, FailureCode, Refusal, WaitingFor};
use domain::time::Timestamp;
use egress::SourceError;
use vimeo::{LinkFailure, Refused, TranscodeStatus, UploadError, UploadStatus, VideoState};

use super::outcome::Then;
use super::retry::LeaseRetry;

/// The wait for a rate limit whose end is unknown.
const RATE_LIMIT_DELAY: Duration = Duration::from_mins(1);
/// The longest wait.
const DELAY_MAX: Duration = Duration::from_hours(1);
/// The shortest.
const DELAY_MIN: Duration = Duration::from_millis(100);

/// A failure from a code and a sentence.
pub(super) fn failure(code: FailureCode, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into() }
}

/// The time until an instant, within limits.
pub(super) fn delay_until(not_before: Timestamp, now: Timestamp) -> Duration {
    let micros = not_before.as_micros() - now.as_micros();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0)).clamp(DELAY_MIN, DELAY_MAX)
}

/// What a failed request leads to while bytes are missing; `refused`: the code of a plain refusal.
pub(super) fn then_of(failed: vimeo::Failure, refused: FailureCode, now: Timestamp) -> Then {
    match failed {
        // A rate limit is waited for, even if its end is unknown.
        vimeo::Failure::RetryLater { not_before, error }
            if not_before.is_some() || matches!(error, vimeo::TransportError::RateLimited { .. }) =>
        {
            tracing::info!(cause = %format_args!("Vimeo {error}"), "an upload is waiting for its next attempt");
            let reason = match error {
                vimeo::TransportError::RateLimited { .. } => WaitingFor::RateLimit,
                _ => WaitingFor::Vimeo,
            };
            Then::Snooze(not_before.map_or(RATE_LIMIT_DELAY, |at| delay_until(at, now)), reason)
        }
        vimeo::Failure::RetryLater { error, .. } | vimeo::Failure::Unknown(error) => {
            Then::Retry(failure(FailureCode::VimeoUnavailable, format!("Vimeo {error}.")))
        }
        vimeo::Failure::Rejected(problem) => Then::Fail(failure(
            FailureCode::CredentialsRejected,
            format!("The connection's access token {problem}."),
        )),
        vimeo::Failure::LacksScope(scope) => Then::Fail(failure(
            FailureCode::ScopeMissing,
            format!(
                "The connection's access token lacks the scope {scope}; generate a new one with it added."
            ),
        )),
        vimeo::Failure::Quota(said) => {
            Then::Fail(failure(FailureCode::QuotaExceeded, format!("Vimeo refused: {said}")))
        }
        vimeo::Failure::Refused(said) => Then::Fail(failure(refused, format!("Vimeo refused: {said}"))),
        vimeo::Failure::NotFound => {
            Then::Fail(failure(FailureCode::VideoDeleted, "The video was deleted at Vimeo."))
        }
    }
}

/// What a failed request leads to once all bytes are, or may be, at Vimeo.
pub(super) fn then_of_whole(failed: vimeo::Failure, now: Timestamp) -> Then {
    match failed {
        vimeo::Failure::Quota(said) => {
            Then::Refused(refusal(FailureCode::QuotaExceeded, &said), Refusal::Other)
        }
        vimeo::Failure::Refused(said) => {
            Then::Refused(refusal(FailureCode::VimeoRefused, &said), Refusal::Other)
        }
        vimeo::Failure::NotFound => Then::Refused(not_found(), Refusal::Other),
        failed @ (vimeo::Failure::RetryLater { .. }
        | vimeo::Failure::Unknown(_)
        | vimeo::Failure::Rejected(_)
        | vimeo::Failure::LacksScope(_)) => then_of(failed, FailureCode::VimeoRefused, now),
    }
}

/// 404 to a GET of the video.
pub(super) fn missing() -> Then {
    Then::Refused(not_found(), Refusal::Missing)
}

/// The list of the account's videos, which decides when Vimeo has answered 404 for long enough.
pub(super) fn then_of_list(is_listed: Result<bool, vimeo::Failure>, now: Timestamp) -> Then {
    match is_listed {
        Ok(false) => Then::Fail(failure(FailureCode::VideoDeleted, "The video was deleted at Vimeo.")),
        Ok(true) => {
            let message = "Vimeo lists the uploaded video but answers 404 to every request for it.";
            Then::Fail(failure(FailureCode::VimeoUnavailable, message))
        }
        // Without the list nothing is certain: the next answer decides, or the retry deadline.
        Err(failed) => match then_of_whole(failed, now) {
            Then::Refused(failure, _) => Then::Fail(failure),
            then => then,
        },
    }
}

fn not_found() -> Failure {
    failure(FailureCode::VimeoRefused, "Vimeo answered 404 to requests for the uploaded video.")
}

fn refusal(code: FailureCode, said: &Refused) -> Failure {
    failure(code, format!("Vimeo refused: {}.", said.text.trim_end_matches('.')))
}

/// Whether a refusal of a change is about what the change says, and not about the video, the token or the server.
pub(super) fn is_about_setting(said: &Refused) -> bool {
    said.status == 400 || said.status == 422 || said.code.is_some() || !said.parameters.is_empty()
}

/// The failure of a setting without which the video must not be opened.
pub(super) fn setting_refused(field: &str, said: &str) -> Failure {
    failure(FailureCode::SettingRefused, format!("Vimeo refused {field}: {}.", said.trim_end_matches('.')))
}

/// What Vimeo says, with what it says of single parameters.
pub(super) fn in_words(failed: &vimeo::Failure) -> String {
    match failed {
        vimeo::Failure::Refused(said) | vimeo::Failure::Quota(said) if !said.parameters.is_empty() => {
            let parameters = said.parameters.iter().map(|found| format!("{} {}", found.field, found.text));
            parameters.collect::<Vec<_>>().join("; ")
        }
        failed => failed.to_string(),
    }
}

/// Why Vimeo cannot use the file, if it cannot.
pub(super) fn unusable(state: &VideoState) -> Option<Failure> {
    let fail = |message: String| Some(failure(FailureCode::FileUnusable, message));
    if let Some(message) = why_unusable(&state.upload, state.transcode) {
        return fail(message);
    }
    match state.failed_status? {
        status @ ("quota_exceeded" | "total_cap_exceeded") => Some(failure(
            FailureCode::QuotaExceeded,
            format!("Vimeo refused the video after its upload: {status}."),
        )),
        status => fail(format!("Vimeo cannot use the file: {status}.")),
    }
}

/// Why Vimeo cannot make a video of the bytes, as a sentence; `None` if it may.
pub(super) fn why_unusable(upload: &UploadStatus, transcode: TranscodeStatus) -> Option<String> {
    match (upload, transcode) {
        (UploadStatus::Failed(Some(code)), _) => Some(format!("Vimeo cannot use the file: {code}.")),
        (UploadStatus::Failed(None), _) => Some("Vimeo cannot use the file.".to_owned()),
        (UploadStatus::Cancelled, _) => Some("Vimeo cancelled the upload.".to_owned()),
        (_, TranscodeStatus::Failed) => Some("Vimeo could not transcode the file.".to_owned()),
        _ => None,
    }
}

/// Whether a chunk that was not accepted is sent again within the lease; `None`: not.
pub(super) fn lease_retry_of(failed: &UploadError<SourceError>, is_local_file: bool) -> Option<LeaseRetry> {
    match failed {
        UploadError::Link(LinkFailure::Gone) => None,
        // Once is no reason to restart.
        UploadError::Link(LinkFailure::TooLarge | LinkFailure::ProtocolRefused(_)) => {
            Some(LeaseRetry::RefusedBytes)
        }
        UploadError::Link(_) => Some(LeaseRetry::Link),
        UploadError::SourceStalled if is_local_file => Some(LeaseRetry::Link),
        // The process that has the file decides.
        UploadError::Source(_) | UploadError::SourceTruncated if is_local_file => None,
        UploadError::SourceStalled => Some(LeaseRetry::StalledSource),
        // Its slot is for others meanwhile, and what it delivered is no progress.
        UploadError::Source(SourceError::Changed | SourceError::TooSlow) => None,
        UploadError::Source(_) | UploadError::SourceTruncated => Some(LeaseRetry::Source),
    }
}

#[cfg(test)]
mod tests {
    use vimeo::{Parameter, TransportError};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn said(status: u16, code: Option<i64>) -> Refused {
        Refused { status, code, text: "No".to_owned(), parameters: Vec::new() }
    }

    fn later(not_before: Option<Timestamp>, error: TransportError) -> vimeo::Failure {
        vimeo::Failure::RetryLater { not_before, error }
    }

    #[test]
    fn a_chunk_is_sent_again_unless_the_link_or_the_file_is_gone() {
        use LeaseRetry::{Link, RefusedBytes, Source, StalledSource};
        let retried = |failed: UploadError<SourceError>| [false, true].map(|is| lease_retry_of(&failed, is));
        for (failed, retry) in [
            (LinkFailure::Gone, None),
            (LinkFailure::TooLarge, Some(RefusedBytes)),
            (LinkFailure::ProtocolRefused(415), Some(RefusedBytes)),
            (LinkFailure::Locked, Some(Link)),
            (LinkFailure::Conflict, Some(Link)),
            (LinkFailure::Incoherent, Some(Link)),
            (LinkFailure::RetryLater(TransportError::Unreachable), Some(Link)),
        ] {
            assert_eq!(retried(UploadError::Link(failed.clone())), [retry; 2], "{failed:?}");
        }
        assert_eq!(retried(UploadError::SourceStalled), [Some(StalledSource), Some(Link)]);
        assert_eq!(retried(UploadError::SourceTruncated), [Some(Source), None]);
        for (failed, retry) in [
            (SourceError::Changed, None),
            (SourceError::TooSlow, None),
            (SourceError::Unreachable, Some(Source)),
            (SourceError::EndedEarly, Some(Source)),
        ] {
            assert_eq!(retried(UploadError::Source(failed)), [retry, None], "{failed:?}");
        }
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
                let then = then_of_whole(failed.clone(), at(0));
                assert!(matches!(then, Then::Refused(_, Refusal::Other)), "{failed:?}");
            }
            let unknown = || vimeo::Failure::Unknown(TransportError::Status(status));
            let before = then_of(unknown(), FailureCode::VimeoRefused, at(0));
            assert_eq!(then_of_whole(unknown(), at(0)), before);
        }
    }

    #[test]
    fn before_the_last_byte_a_refusal_fails_the_job() {
        for (failed, code) in [
            (vimeo::Failure::Refused(said(400, None)), FailureCode::UploadLost),
            (vimeo::Failure::Quota(said(403, Some(4_101))), FailureCode::QuotaExceeded),
            (vimeo::Failure::NotFound, FailureCode::VideoDeleted),
            (vimeo::Failure::LacksScope("upload".to_owned()), FailureCode::ScopeMissing),
        ] {
            let Then::Fail(failure) = then_of(failed, FailureCode::UploadLost, at(0)) else {
                panic!("{code:?}")
            };
            assert_eq!(failure.code, code);
        }
    }

    #[test]
    fn a_rate_limit_is_waited_for_until_its_end_or_a_minute() {
        let limited = |not_before| later(not_before, TransportError::RateLimited { not_before });
        let then = |not_before| then_of(limited(not_before), FailureCode::VimeoRefused, at(100));
        let reason = WaitingFor::RateLimit;
        assert_eq!(then(Some(at(130))), Then::Snooze(Duration::from_secs(30), reason));
        assert_eq!(then(Some(at(1))), Then::Snooze(DELAY_MIN, reason), "it has ended already");
        assert_eq!(then(Some(at(1_000_000))), Then::Snooze(DELAY_MAX, reason));
        assert_eq!(then(None), Then::Snooze(RATE_LIMIT_DELAY, reason));
    }

    #[test]
    fn an_answer_that_names_a_time_is_waited_for() {
        let busy = later(Some(at(110)), TransportError::Status(503));
        let then = then_of(busy, FailureCode::VimeoRefused, at(100));
        assert_eq!(then, Then::Snooze(Duration::from_secs(10), WaitingFor::Vimeo));
    }

    #[test]
    fn an_unavailable_vimeo_is_retried() {
        for failed in
            [later(None, TransportError::Status(503)), vimeo::Failure::Unknown(TransportError::Status(500))]
        {
            let then = then_of(failed.clone(), FailureCode::VimeoRefused, at(0));
            let Then::Retry(failure) = then else { panic!("{failed:?}") };
            assert_eq!(failure.code, FailureCode::VimeoUnavailable);
        }
    }

    #[test]
    fn the_list_decides_whether_a_missing_video_was_deleted() {
        let code = |then| match then {
            Then::Fail(failure) => Some(failure.code),
            _ => None,
        };
        assert_eq!(code(then_of_list(Ok(false), at(0))), Some(FailureCode::VideoDeleted));
        assert_eq!(code(then_of_list(Ok(true), at(0))), Some(FailureCode::VimeoUnavailable));
        let refused = Err(vimeo::Failure::Refused(said(403, None)));
        assert_eq!(code(then_of_list(refused, at(0))), Some(FailureCode::VimeoRefused));
        let unknown = then_of_list(Err(vimeo::Failure::Unknown(TransportError::Status(500))), at(0));
        assert!(matches!(unknown, Then::Retry(_)), "{unknown:?}");
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

    #[test]
    fn what_vimeo_says_of_parameters_is_quoted() {
        let field = "privacy.view".to_owned();
        let parameter = Parameter { field, code: None, text: "is not in the plan".to_owned() };
        let said = Refused { parameters: vec![parameter.clone(), parameter], ..said(400, None) };
        let words = in_words(&vimeo::Failure::Refused(said));
        assert_eq!(words, "privacy.view is not in the plan; privacy.view is not in the plan");
    }
}
