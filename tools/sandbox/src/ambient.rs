//! The outside world, passed in: what time it is and where random bytes come from.

use std::sync::Arc;

use jiff::Timestamp;
use rand::Rng as _;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Fills a buffer with bytes that nobody can guess (or, in a test, with bytes that everybody can).
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// The system's clock.
#[expect(clippy::disallowed_methods, reason = "the one place where the sandbox reads the ambient clock")]
pub fn system_clock() -> Clock {
    Arc::new(Timestamp::now)
}

/// The system's randomness.
pub fn system_random() -> Random {
    Arc::new(|buffer| rand::rng().fill_bytes(buffer))
}

/// An instant as Vimeo writes it: `2021-10-05T13:47:34+00:00`.
pub(crate) fn iso_8601(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}
