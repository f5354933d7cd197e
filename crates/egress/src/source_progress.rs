//! What is remembered while a source is read, over all its connections: the digest of its beginning, and how fast it
//! gives its bytes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// The least rate that a source must keep, over a window of time in which it was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinimumRate {
    /// Bytes per second; 0: any rate will do.
    pub bytes_per_second: u64,
    /// The time over which it is measured.
    pub window: Duration,
}

impl Default for MinimumRate {
    fn default() -> Self {
        Self { bytes_per_second: 1_024, window: Duration::from_mins(1) }
    }
}

/// The source gave too little for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooSlow;

/// One reading of a source. Clones are the same reading.
#[derive(Clone, Default)]
pub struct SourceProgress(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    prefix: PrefixDigest,
    rate: Rate,
    /// The last attempt to read from here gave no byte yet.
    stuck_at: Option<u64>,
    /// Since the last attempt began, the source has kept the rate for a window.
    is_fast_enough: bool,
}

/// The digest of a file's first bytes.
#[derive(Clone, Default)]
pub(super) struct PrefixDigest {
    pub(super) length: u64,
    state: Sha256,
}

/// The bytes that a source gave, and the time that it was waited for, since the window began.
#[derive(Debug, Default)]
struct Rate {
    bytes: u64,
    waited: Duration,
}

impl Rate {
    /// Another piece came, after so long; or nothing did. Only the time in which the source could have given something
    /// counts. A window has passed when it has the bytes that it needs, and is too slow when its time comes first.
    fn add(&mut self, least: MinimumRate, bytes: u64, waited: Duration) -> Result<Window, TooSlow> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
        let needed = u128::from(least.bytes_per_second) * least.window.as_nanos() / 1_000_000_000;
        let is_enough = u128::from(self.bytes) >= needed;
        if !is_enough && self.waited < least.window {
            return Ok(Window::Open);
        }
        *self = Self::default();
        if is_enough { Ok(Window::Passed) } else { Err(TooSlow) }
    }
}

/// How far a window is.
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

    /// Whether two beginnings of one length have the same bytes.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.length == other.length && self.digest() == other.digest()
    }
}

impl SourceProgress {
    /// The longest beginning that was read in one go, from the first byte on.
    pub(super) fn prefix(&self) -> PrefixDigest {
        self.lock().prefix.clone()
    }

    /// Keeps a beginning if it is longer than the one that is kept.
    pub(super) fn keep(&self, prefix: &PrefixDigest) {
        let mut state = self.lock();
        if prefix.length > state.prefix.length {
            state.prefix = prefix.clone();
        }
    }

    /// The source is read from its first byte, and nothing that was read before counts.
    pub(super) fn reset_prefix(&self) {
        self.lock().prefix = PrefixDigest::default();
    }

    /// Forgets everything: another file is read.
    pub fn reset(&self) {
        *self.lock() = State::default();
    }

    /// Notes a piece, and how long it was waited for; or, with no bytes, a pause that the source is the reason of.
    pub(super) fn record(&self, least: MinimumRate, bytes: u64, waited: Duration) -> Result<(), TooSlow> {
        let mut state = self.lock();
        if bytes > 0 {
            state.stuck_at = None;
        }
        let window = state.rate.add(least, bytes, waited);
        match window {
            Ok(Window::Open) => {}
            Ok(Window::Passed) => state.is_fast_enough = true,
            Err(TooSlow) => state.is_fast_enough = false,
        }
        window.map(drop)
    }

    /// Another attempt of the job begins.
    pub fn start_attempt(&self) {
        self.lock().is_fast_enough = false;
    }

    /// Whether the source kept the rate in this attempt. Before, what it gives is no reason to forget its troubles: it
    /// would be read for ever, some bytes at a time.
    pub fn is_fast_enough(&self) -> bool {
        self.lock().is_fast_enough
    }

    /// The source is opened here; whether it was opened here before and gave nothing.
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

    fn run(pieces: impl IntoIterator<Item = (u64, u64)>) -> Result<(), TooSlow> {
        let mut rate = Rate::default();
        for (bytes, millis) in pieces {
            rate.add(MINIMUM, bytes, Duration::from_millis(millis))?;
        }
        Ok(())
    }

    #[test]
    fn a_trickle_is_too_slow_after_a_window_and_not_before() {
        assert_eq!(run([(1, 20_000), (1, 20_000)]), Ok(()));
        assert_eq!(run([(1, 20_000), (1, 20_000), (1, 20_000)]), Err(TooSlow));
        // The same in cuts: the pauses between count.
        assert_eq!(run(std::iter::repeat_n((1, 300), 200)), Err(TooSlow));
        // One burst does not pay for the windows behind it.
        assert_eq!(run([(1_000_000_000, 60_000), (59_999, 60_000)]), Err(TooSlow));
        assert_eq!(run([(1_000_000_000, 60_000), (60_000, 60_000), (60_000, 60_000)]), Ok(()));
        // Nothing is asked of a source that is not waited for.
        assert_eq!(run(std::iter::repeat_n((1, 0), 1_000)), Ok(()));
    }

    #[test]
    fn a_least_rate_of_zero_lets_everything_pass() {
        let any = MinimumRate { bytes_per_second: 0, ..MINIMUM };
        assert_eq!(Rate::default().add(any, 0, Duration::from_hours(1)), Ok(Window::Passed));
    }

    #[test]
    fn only_a_window_that_has_passed_shows_that_a_source_is_fast_enough() {
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
        fn a_digest_does_not_depend_on_the_pieces(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..200_usize) {
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
    fn a_reading_keeps_the_longest_beginning_and_where_it_is_stuck() {
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
