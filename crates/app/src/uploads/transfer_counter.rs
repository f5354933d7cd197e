//! Counts the bytes of a transfer, and measures its rate.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::time::Instant;

/// The weight of the last interval in the transfer rate, in percent.
const RATE_WEIGHT: u64 = 30;

/// Counts the bytes of a transfer while they are sent.
#[derive(Debug, Default)]
pub(super) struct TransferCounter {
    sent: AtomicU64,
    /// The recent rate in bytes per second.
    rate: AtomicU64,
    is_running: AtomicBool,
}

impl TransferCounter {
    /// Bytes are sent from this offset on.
    pub(super) fn start(&self, offset: u64) {
        self.sent.store(offset, Ordering::Relaxed);
        self.is_running.store(true, Ordering::Relaxed);
    }

    /// More bytes were sent.
    pub(super) fn add(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        metrics::record_relayed_bytes(bytes);
    }

    /// The transfer has stopped.
    pub(super) fn stop(&self) {
        self.is_running.store(false, Ordering::Relaxed);
    }

    /// The recent rate in bytes per second.
    pub(super) fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    /// A newer rate.
    pub(super) fn set_rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// The offset, while bytes are sent.
    pub(super) fn running(&self) -> Option<u64> {
        self.is_running.load(Ordering::Relaxed).then(|| self.sent.load(Ordering::Relaxed))
    }
}

/// Bytes per second, smoothed.
#[derive(Default)]
pub(super) struct Rate {
    last: Option<(u64, Instant)>,
    rate: Option<u64>,
}

impl Rate {
    /// Measures the rate by the bytes sent so far.
    pub(super) fn measure(&mut self, sent: u64, at: Instant) -> u64 {
        if let Some((before, then)) = self.last {
            let millis = u64::try_from(at.duration_since(then).as_millis()).unwrap_or(u64::MAX).max(1);
            let bytes = u128::from(sent.saturating_sub(before)) * 1_000 / u128::from(millis);
            let latest = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.rate = Some(match self.rate {
                None => latest,
                Some(rate) => {
                    let mixed = u128::from(rate) * u128::from(100 - RATE_WEIGHT)
                        + u128::from(latest) * u128::from(RATE_WEIGHT);
                    u64::try_from(mixed / 100).unwrap_or(u64::MAX)
                }
            });
        }
        self.last = Some((sent, at));
        self.rate.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_follows_the_transfer() {
        let mut rate = Rate::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rate.measure(1_000, at(0)), 0);
        assert_eq!(rate.measure(3_000, at(2)), 1_000);
        assert_eq!(rate.measure(7_000, at(4)), 1_300);
        assert_eq!(rate.measure(7_000, at(6)), 910);
        assert_eq!(rate.measure(0, at(8)), 637, "an offset that goes back counts as nothing sent");
    }
}
