//! How often each token was used, for tests that count requests. Kept apart from the journal, which forgets old
//! requests, and from the state, which is written to its file after every change.

use std::collections::HashMap;

use jiff::Timestamp;

/// The usage of all tokens, by value.
#[derive(Debug, Default)]
pub(crate) struct TokenUsage(HashMap<String, Usage>);

/// The usage of one token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// API requests that carried it, however they were answered.
    pub(crate) requests: u64,
    /// Those that its rate limit refused.
    pub(crate) refused: u64,
    pub(crate) last_request_at: Option<Timestamp>,
}

impl TokenUsage {
    /// Counts a request that carries this token.
    pub(crate) fn count(&mut self, token: &str, now: Timestamp) {
        let usage = self.entry(token);
        usage.requests += 1;
        usage.last_request_at = Some(now);
    }

    /// Counts a refusal by the rate limit. The request itself was counted when it arrived.
    pub(crate) fn count_refusal(&mut self, token: &str) {
        self.entry(token).refused += 1;
    }

    pub(crate) fn of(&self, token: &str) -> Usage {
        self.0.get(token).copied().unwrap_or_default()
    }

    fn entry(&mut self, token: &str) -> &mut Usage {
        self.0.entry(token.to_owned()).or_default()
    }
}
