//! The headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11): structured fields with an item
//! for each policy that applies to the request.

use std::fmt::{self, Write as _};

use app::{RatePolicy, RateReport, RateState};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Space for two policies with numbers of ten digits.
const CAPACITY: usize = 96;

/// Adds the headers of a request's policies; none if no limit applies.
pub(crate) fn insert(headers: &mut HeaderMap, report: &RateReport) {
    let policies = items(report, |item, state| {
        write!(item, "{};q={};w={}", name(state.policy), state.quota, state.window_seconds)
    });
    let states = items(report, |item, state| {
        write!(item, "{};r={};t={}", name(state.policy), state.remaining, state.reset_seconds)
    });
    for (name, value) in [(RATE_LIMIT_POLICY, policies), (RATE_LIMIT, states)] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

fn items(
    report: &RateReport,
    mut write_item: impl FnMut(&mut String, &RateState) -> fmt::Result,
) -> Option<HeaderValue> {
    let mut list = String::with_capacity(CAPACITY);
    for state in report.states.iter().flatten() {
        if !list.is_empty() {
            list.push_str(", ");
        }
        // Writing to a `String` does not fail.
        let _ = write_item(&mut list, state);
    }
    if list.is_empty() { None } else { HeaderValue::try_from(list).ok() }
}

/// The name of a policy, as a string of structured fields.
fn name(policy: RatePolicy) -> &'static str {
    match policy {
        RatePolicy::Key => "\"key\"",
        RatePolicy::Account => "\"account\"",
        RatePolicy::FailedKeys => "\"failed-keys\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(policy: RatePolicy, quota: u64, remaining: u64) -> RateState {
        RateState { policy, quota, window_seconds: 60, remaining, reset_seconds: 1 }
    }

    fn headers(states: [Option<RateState>; 2]) -> [Option<String>; 2] {
        let mut headers = HeaderMap::new();
        insert(&mut headers, &RateReport { states, retry_after_seconds: None });
        [RATE_LIMIT_POLICY, RATE_LIMIT]
            .map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn each_policy_that_applies_is_an_item() {
        let (key, account) = (state(RatePolicy::Key, 600, 599), state(RatePolicy::Account, 9_000, 0));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            headers([Some(key), Some(account)]),
            [
                text(r#""key";q=600;w=60, "account";q=9000;w=60"#),
                text(r#""key";r=599;t=1, "account";r=0;t=1"#)
            ]
        );
        assert_eq!(
            headers([None, Some(account)]),
            [text(r#""account";q=9000;w=60"#), text(r#""account";r=0;t=1"#)]
        );
        assert_eq!(headers([None, None]), [None, None]);
        let failed = state(RatePolicy::FailedKeys, 300, 0);
        assert_eq!(headers([Some(failed), None])[0], text(r#""failed-keys";q=300;w=60"#));
    }
}
