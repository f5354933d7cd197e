//! When the worker reads the due deliveries from the database: soon enough, and not so often that reading them is a load. The
//! cost of one reading grows with the number of receivers for which deliveries wait.

use std::time::Duration;

use tokio::time::Instant;

/// How often the database is read at least: the deliveries that other nodes add, and expired leases, are found then.
const INTERVAL: Duration = Duration::from_secs(2);
/// Reading takes at most this part of the time: one fiftieth.
const PAUSE_FACTOR: u32 = 50;
/// The longest pause after a reading, however long it took.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A reading that took less than this may be repeated at once when this node knows of a delivery.
const QUICK: Duration = Duration::from_millis(5);
/// Deliveries that are added or end within this time are found by one reading.
const TOGETHER: Duration = Duration::from_millis(3);

/// When the next reading follows.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the last reading ended, and how long it took.
    last: (Instant, Duration),
    /// When the next delivery is due, or another node may have added one.
    expected: Instant,
    /// When this node heard of deliveries that the last reading did not return.
    woken: Option<Instant>,
}

impl Pace {
    /// The first reading follows at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { last: (now, Duration::ZERO), expected: now, woken: None }
    }

    /// A reading begins: it returns everything of which this node has heard.
    pub(super) fn start(&mut self, now: Instant) {
        self.expected = now + INTERVAL;
        self.woken = None;
    }

    /// A reading has ended.
    pub(super) fn end(&mut self, started: Instant, now: Instant) {
        self.last = (now, now.saturating_duration_since(started));
    }

    /// There may be a due delivery.
    pub(super) fn wake(&mut self, now: Instant) {
        self.woken.get_or_insert(now + TOGETHER);
    }

    /// A delivery is due then.
    pub(super) fn expect(&mut self, due: Instant) {
        self.expected = self.expected.min(due);
    }

    /// When the next reading begins.
    pub(super) fn next(&self) -> Instant {
        let (ended, took) = self.last;
        let paused_until = ended + (took * PAUSE_FACTOR).min(PAUSE_MAX);
        let expected = self.expected.max(paused_until);
        match self.woken {
            Some(woken) if took < QUICK => expected.min(woken),
            Some(woken) => expected.min(woken.max(paused_until)),
            None => expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// After a reading that took this long and ended at the returned instant.
    fn after_reading(took: Duration) -> (Pace, Instant) {
        let started = Instant::now();
        let mut pace = Pace::new(started);
        assert_eq!(pace.next(), started);
        pace.start(started);
        pace.end(started, started + took);
        (pace, started + took)
    }

    #[test]
    fn deliveries_of_other_nodes_are_found_after_two_seconds() {
        let (pace, ended) = after_reading(millis(1));
        assert_eq!(pace.next(), ended - millis(1) + INTERVAL);
    }

    #[test]
    fn a_delivery_is_read_when_it_is_due() {
        let (mut pace, ended) = after_reading(millis(1));
        pace.expect(ended + millis(700));
        pace.expect(ended + millis(900));
        assert_eq!(pace.next(), ended + millis(700));
        pace.expect(ended + millis(10));
        assert_eq!(pace.next(), ended + millis(50), "not before the pause has ended");
        pace.start(ended + millis(60));
        assert_eq!(pace.next(), ended + millis(60) + INTERVAL, "it was read");
    }

    #[test]
    fn a_quick_reading_is_repeated_at_once_and_a_long_one_after_a_pause() {
        let (mut pace, ended) = after_reading(millis(4));
        pace.wake(ended + millis(1));
        pace.wake(ended + millis(2));
        assert_eq!(pace.next(), ended + millis(4), "several are found together");
        let (mut pace, ended) = after_reading(millis(20));
        pace.wake(ended + millis(1));
        assert_eq!(pace.next(), ended + millis(1_000));
    }

    #[test]
    fn a_pause_lasts_for_five_seconds_at_most() {
        let (mut pace, ended) = after_reading(Duration::from_secs(1));
        assert_eq!(pace.next(), ended + PAUSE_MAX);
        pace.wake(ended);
        assert_eq!(pace.next(), ended + PAUSE_MAX);
    }
}
