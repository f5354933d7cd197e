//! Injected dependencies: the clock and the source of random bytes.

use std::sync::Arc;

use jiff::Timestamp;
use rand::Rng as _;

/// Returns the current time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Fills a buffer with random bytes; in a test, with predictable ones.
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

/// A timestamp as Vimeo writes it: `2021-10-05T13:47:34+00:00`.
pub(crate) fn iso_8601(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}
