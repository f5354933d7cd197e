//! What follows from a request that the service or the database did not accept.

use std::time::Duration;

/// How long to wait if the response does not say.
const PAUSE: Duration = Duration::from_secs(2);
/// How long to wait until other uploads of the account have ended.
const LIMIT_PAUSE: Duration = Duration::from_secs(5);
/// The longest wait before the service is asked again, whatever it says.
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// How long the service may be unreachable: longer than a restart, and than a short loss of the network.
const UNREACHABLE_MAX: Duration = Duration::from_mins(15);

/// A failed request, by what decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// An error code of the API.
    Code {
        code: String,
        /// The status of the response.
        status: u16,
        retry_after: Option<Duration>,
    },
    /// No answer, or one that did not come from the service.
    Unreachable,
    /// Nothing that a repetition or another line would change.
    Misconfigured,
}

/// What follows for the line and for the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// All lines wait, and then this one is tried again.
    WaitAll(Duration, WaitReason),
    /// Only this line waits.
    WaitLine(Duration),
    /// The line failed; others may not.
    FailLine,
    /// No line can succeed.
    Stop,
}

/// Why lines wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitReason {
    RateLimited,
    LimitReached,
    VimeoUnavailable,
    Overloaded,
    Unreachable,
    /// A request that was interrupted may still hold the key.
    EarlierRequest,
}

impl WaitReason {
    /// For people, as the end of a sentence.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "the service limits the rate of requests",
            Self::LimitReached => "the account has as many uploads in progress as its limit allows",
            Self::VimeoUnavailable => "Vimeo is unavailable",
            Self::Overloaded => "the service is overloaded or unavailable",
            Self::Unreachable => "the service cannot be reached",
            Self::EarlierRequest => "for the end of an interrupted request",
        }
    }
}

/// `unreachable_for`: the time since the last answer of the service.
pub(super) fn next(fault: &Fault, unreachable_for: Duration) -> Next {
    let (code, status, retry_after) = match fault {
        Fault::Misconfigured => return Next::Stop,
        Fault::Unreachable if unreachable_for > UNREACHABLE_MAX => return Next::Stop,
        Fault::Unreachable => return Next::WaitAll(PAUSE, WaitReason::Unreachable),
        Fault::Code { code, status, retry_after } => (code.as_str(), *status, *retry_after),
    };
    let pause = |default: Duration| retry_after.unwrap_or(default).clamp(Duration::from_secs(1), PAUSE_MAX);
    match (code, status) {
        ("LIMIT_REACHED", _) => Next::WaitAll(pause(LIMIT_PAUSE), WaitReason::LimitReached),
        ("VIMEO_UNAVAILABLE", _) => Next::WaitAll(pause(PAUSE), WaitReason::VimeoUnavailable),
        // A run that was interrupted may still hold the key.
        ("IDEMPOTENCY_KEY_IN_USE", _) => Next::WaitLine(pause(Duration::from_secs(1))),
        (_, 429) => Next::WaitAll(pause(PAUSE), WaitReason::RateLimited),
        (_, 500 | 502 | 503 | 504) if unreachable_for > UNREACHABLE_MAX => Next::Stop,
        (_, 500 | 502 | 503 | 504) => Next::WaitAll(pause(PAUSE), WaitReason::Overloaded),
        // The path does not exist, or the key is not accepted.
        ("NOT_FOUND", _) | (_, 401 | 403) => Next::Stop,
        _ => Next::FailLine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: &str, status: u16, seconds: Option<u64>) -> Fault {
        Fault::Code { code: code.to_owned(), status, retry_after: seconds.map(Duration::from_secs) }
    }

    fn decide(fault: &Fault) -> Next {
        next(fault, Duration::ZERO)
    }

    const fn wait(seconds: u64, reason: WaitReason) -> Next {
        Next::WaitAll(Duration::from_secs(seconds), reason)
    }

    #[test]
    fn what_passes_is_waited_for_and_is_no_failure_of_a_line() {
        for (fault, expected) in [
            (fault("RATE_LIMITED", 429, Some(7)), wait(7, WaitReason::RateLimited)),
            (fault("RATE_LIMITED", 429, None), wait(2, WaitReason::RateLimited)),
            (fault("RATE_LIMITED", 429, Some(0)), wait(1, WaitReason::RateLimited)),
            (fault("RATE_LIMITED", 429, Some(90_000)), wait(300, WaitReason::RateLimited)),
            (fault("LIMIT_REACHED", 409, None), wait(5, WaitReason::LimitReached)),
            (fault("LIMIT_REACHED", 429, Some(3)), wait(3, WaitReason::LimitReached)),
            (fault("VIMEO_UNAVAILABLE", 503, Some(30)), wait(30, WaitReason::VimeoUnavailable)),
            (fault("OVERLOADED", 503, Some(1)), wait(1, WaitReason::Overloaded)),
            (fault("STORE_UNAVAILABLE", 503, None), wait(2, WaitReason::Overloaded)),
            (fault("INTERNAL_ERROR", 500, None), wait(2, WaitReason::Overloaded)),
            (Fault::Unreachable, wait(2, WaitReason::Unreachable)),
            (fault("IDEMPOTENCY_KEY_IN_USE", 409, Some(1)), Next::WaitLine(Duration::from_secs(1))),
        ] {
            assert_eq!(decide(&fault), expected, "{fault:?}");
        }
    }

    #[test]
    fn an_error_of_one_line_does_not_stop_the_others() {
        for (code, status) in [
            ("INVALID_REQUEST_BODY", 400),
            ("CONNECTION_NOT_FOUND", 404),
            ("CONNECTION_DISABLED", 409),
            ("UPLOAD_REFUSED", 422),
        ] {
            assert_eq!(decide(&fault(code, status, None)), Next::FailLine, "{code}");
        }
    }

    #[test]
    fn an_error_of_all_lines_stops_the_command() {
        for fault in
            [fault("UNAUTHORIZED", 401, None), fault("FORBIDDEN", 403, None), fault("NOT_FOUND", 404, None)]
        {
            assert_eq!(decide(&fault), Next::Stop, "{fault:?}");
        }
        assert_eq!(decide(&Fault::Misconfigured), Next::Stop);
        let long = UNREACHABLE_MAX + Duration::from_secs(1);
        assert_eq!(next(&Fault::Unreachable, long), Next::Stop);
        assert_eq!(next(&fault("STORE_UNAVAILABLE", 503, None), long), Next::Stop);
        let limited = next(&fault("LIMIT_REACHED", 409, None), long);
        assert_eq!(limited, wait(5, WaitReason::LimitReached), "a limit is waited for without an end");
    }
}
