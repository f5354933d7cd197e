//! State of reading a source across connections: the digest of its prefix, and its rate.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// The minimum rate of a source, over a window of time spent waiting for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinimumRate {
    /// Bytes per second; 0 disables the check.
    pub bytes_per_second: u64,
    /// The window over which the rate is measured.
    pub window: Duration,
}

impl Default for MinimumRate {
    fn default() -> Self {
        Self { bytes_per_second: 1_024, window: Duration::from_mins(1) }
    }
}

/// The source was below the minimum rate for a whole window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooSlow;

/// The progress of reading one source. Clones share it.
#[derive(Clone, Default)]
pub struct SourceProgress(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    prefix: PrefixDigest,
    rate: Rate,
    /// The offset at which the last attempt has received no byte yet.
    stuck_at: Option<u64>,
    /// Whether the source has reached the minimum rate for a whole window in this attempt.
    is_fast_enough: bool,
}

/// The digest of a file's first `length` bytes.
#[derive(Clone, Default)]
pub(super) struct PrefixDigest {
    pub(super) length: u64,
    state: Sha256,
}

/// Bytes received and time spent waiting in the current window.
#[derive(Debug, Default)]
struct Rate {
    bytes: u64,
    waited: Duration,
}

impl Rate {
    /// Adds received bytes and the time spent waiting for them. Time in which the source was not waited for does not
    /// count. A window passes as soon as it has enough bytes, and fails if its time ends first.
    fn add(&mut self, minimum: MinimumRate, bytes: u64, waited: Duration) -> Result<Window, TooSlow> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
        let needed = u128::from(minimum.bytes_per_second) * minimum.window.as_nanos() / 1_000_000_000;
        let is_enough = u128::from(self.bytes) >= needed;
        if !is_enough && self.waited < minimum.window {
            return Ok(Window::Open);
        }
        *self = Self::default();
        if is_enough { Ok(Window::Passed) } else { Err(TooSlow) }
    }
}

/// State of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Open,
    Passed,
}

impl PrefixDigest {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn digest(&self) -> [u8; 32] {
        self.state.clone().finalize().into()
    }

    /// Whether both have the same length and digest.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.length == other.length && self.digest() == other.digest()
    }
}

impl SourceProgress {
    /// The longest prefix that was read in one go.
    pub(super) fn prefix(&self) -> PrefixDigest {
        self.lock().prefix.clone()
    }

    /// Replaces the prefix by a longer one.
    pub(super) fn keep(&self, prefix: &PrefixDigest) {
        let mut state = self.lock();
        if prefix.length > state.prefix.length {
            state.prefix = prefix.clone();
        }
    }

    /// Discards the prefix: the source is read from offset 0 again.
    pub(super) fn reset_prefix(&self) {
        self.lock().prefix = PrefixDigest::default();
    }

    /// Discards all state: a different file is read.
    pub fn reset(&self) {
        *self.lock() = State::default();
    }

    /// Records received bytes and the time spent waiting for them; no bytes for a delay caused by the source.
    pub(super) fn record(&self, minimum: MinimumRate, bytes: u64, waited: Duration) -> Result<(), TooSlow> {
        let mut state = self.lock();
        if bytes > 0 {
            state.stuck_at = None;
        }
        let window = state.rate.add(minimum, bytes, waited);
        match window {
            Ok(Window::Open) => {}
            Ok(Window::Passed) => state.is_fast_enough = true,
            Err(TooSlow) => state.is_fast_enough = false,
        }
        window.map(drop)
    }

    /// Starts another attempt of the job.
    pub fn start_attempt(&self) {
        self.lock().is_fast_enough = false;
    }

    /// Whether the source reached the minimum rate in this attempt. Only then does progress reset the job's retries;
    /// otherwise a source that sends a few bytes per attempt would be retried forever.
    pub fn is_fast_enough(&self) -> bool {
        self.lock().is_fast_enough
    }

    /// Records that the source is opened at `from`. Returns whether the previous attempt was opened there and received
    /// nothing.
    pub(super) fn is_stuck_at(&self, from: u64) -> bool {
        self.lock().stuck_at.replace(from) == Some(from)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SourceProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<progress of a source>")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINIMUM: MinimumRate = MinimumRate { bytes_per_second: 1_000, window: Duration::from_mins(1) };

    fn run(chunks: impl IntoIterator<Item = (u64, u64)>) -> Result<(), TooSlow> {
        let mut rate = Rate::default();
        for (bytes, millis) in chunks {
            rate.add(MINIMUM, bytes, Duration::from_millis(millis))?;
        }
        Ok(())
    }

    #[test]
    fn a_trickle_is_too_slow_after_one_window_and_not_before() {
        assert_eq!(run([(1, 20_000), (1, 20_000)]), Ok(()));
        assert_eq!(run([(1, 20_000), (1, 20_000), (1, 20_000)]), Err(TooSlow));
        // The same with reconnects: the time between them counts.
        assert_eq!(run(std::iter::repeat_n((1, 300), 200)), Err(TooSlow));
        // A burst does not count for later windows.
        assert_eq!(run([(1_000_000_000, 60_000), (59_999, 60_000)]), Err(TooSlow));
        assert_eq!(run([(1_000_000_000, 60_000), (60_000, 60_000), (60_000, 60_000)]), Ok(()));
        // A source that is not waited for has no minimum rate.
        assert_eq!(run(std::iter::repeat_n((1, 0), 1_000)), Ok(()));
    }

    #[test]
    fn a_minimum_rate_of_zero_disables_the_check() {
        let any = MinimumRate { bytes_per_second: 0, ..MINIMUM };
        assert_eq!(Rate::default().add(any, 0, Duration::from_hours(1)), Ok(Window::Passed));
    }

    #[test]
    fn a_source_is_fast_enough_only_after_a_whole_window() {
        let progress = SourceProgress::default();
        progress.record(MINIMUM, 59_999, Duration::ZERO).unwrap();
        assert!(!progress.is_fast_enough());
        progress.record(MINIMUM, 1, Duration::ZERO).unwrap();
        assert!(progress.is_fast_enough());
        progress.start_attempt();
        assert!(!progress.is_fast_enough());
        progress.record(MINIMUM, 60_000, Duration::ZERO).unwrap();
        progress.record(MINIMUM, 1, MINIMUM.window).unwrap_err();
        assert!(!progress.is_fast_enough());
    }

    proptest! {
        #[test]
        fn a_source_that_keeps_the_rate_is_never_too_slow(waits in prop::collection::vec(1..90_000_u64, 1..50)) {
            prop_assert_eq!(run(waits.into_iter().map(|millis| (millis, millis))), Ok(()));
        }

        #[test]
        fn a_digest_does_not_depend_on_the_chunks(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..200_usize) {
            let (mut one, mut other) = (PrefixDigest::default(), PrefixDigest::default());
            one.update(&bytes);
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            other.update(head);
            prop_assert_eq!(one.equals(&other), tail.is_empty());
            other.update(tail);
            prop_assert!(one.equals(&other));
        }
    }

    #[test]
    fn progress_keeps_the_longest_prefix_and_the_stuck_offset() {
        let progress = SourceProgress::default();
        let (mut short, mut long) = (PrefixDigest::default(), PrefixDigest::default());
        short.update(b"ab");
        long.update(b"abc");
        progress.keep(&long);
        progress.keep(&short);
        assert_eq!(progress.prefix().length, 3);
        assert!(!progress.is_stuck_at(7) && progress.is_stuck_at(7) && !progress.is_stuck_at(8));
        progress.record(MINIMUM, 1, Duration::ZERO).unwrap();
        assert!(!progress.is_stuck_at(8));
        progress.reset_prefix();
        assert_eq!(progress.prefix().length, 0);
    }
}
