//! The headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11): structured fields with an item
//! for each policy that applies to the request.

use app::{RatePolicy, RateReport, RateState};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Adds the headers of a request's policies; none if no limit applies.
pub(crate) fn insert(headers: &mut HeaderMap, report: &RateReport) {
    let policies = list(report, |list, state| {
        list.push(b";q=");
        list.push_number(state.quota);
        list.push(b";w=");
        list.push_number(state.window_seconds);
    });
    let states = list(report, |list, state| {
        list.push(b";r=");
        list.push_number(state.remaining);
        list.push(b";t=");
        list.push_number(state.reset_seconds);
    });
    for (name, value) in [(RATE_LIMIT_POLICY, policies), (RATE_LIMIT, states)] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

/// A list with an item for each policy; `None` if there is no policy.
fn list(report: &RateReport, push_parameters: impl Fn(&mut List, &RateState)) -> Option<HeaderValue> {
    let mut list = List { bytes: [0; CAPACITY], length: 0 };
    for state in report.states.iter().flatten() {
        if list.length > 0 {
            list.push(b", ");
        }
        match state.policy {
            RatePolicy::Key => list.push(b"\"key\""),
            RatePolicy::Account => list.push(b"\"account\""),
            RatePolicy::FailedKeys => list.push(b"\"failed-keys\""),
        }
        push_parameters(&mut list, state);
    }
    let list = list.bytes.get(..list.length).filter(|list| !list.is_empty())?;
    HeaderValue::from_bytes(list).ok()
}

/// Space for two items with numbers of any size.
const CAPACITY: usize = 128;

/// A header's value. Nearly every response has two, so they are written without allocations and format strings.
struct List {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl List {
    fn push(&mut self, text: &[u8]) {
        let end = self.length + text.len();
        if let Some(space) = self.bytes.get_mut(self.length..end) {
            space.copy_from_slice(text);
            self.length = end;
        }
    }

    fn push_number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number).as_bytes());
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

    #[test]
    fn numbers_of_any_size_fit() {
        let largest = RateState {
            policy: RatePolicy::FailedKeys,
            quota: u64::MAX,
            window_seconds: u64::MAX,
            remaining: u64::MAX,
            reset_seconds: u64::MAX,
        };
        let found = headers([Some(largest), Some(largest)]);
        assert!(
            found.iter().flatten().all(|list| list.matches("18446744073709551615").count() == 4),
            "{found:?}"
        );
        assert!(found[0].as_ref().is_some_and(|list| list.len() <= CAPACITY));
    }
}
