//! Writes to the database.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use crate::definitions::{STORE_BATCH_SIZE, STORE_COMMIT, STORE_REJECTED};

/// Writes of a batch. SQLite's largest has 256, PostgreSQL's 64.
const SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// In seconds: from a sync of a fast disk to a wait for a standby.
const DURATIONS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

static REJECTED: LazyLock<IntCounter> = LazyLock::new(|| STORE_REJECTED.counter());
static BATCH_SIZES: LazyLock<Histogram> = LazyLock::new(|| STORE_BATCH_SIZE.histogram(&SIZES));
static COMMITS: LazyLock<Histogram> = LazyLock::new(|| STORE_COMMIT.histogram(&DURATIONS));

pub(crate) fn start() {
    LazyLock::force(&REJECTED);
    LazyLock::force(&BATCH_SIZES);
    LazyLock::force(&COMMITS);
}

/// A batch of this many writes was committed in this time.
pub fn record_write_batch(size: usize, duration: Duration) {
    // No batch is larger than `u32`.
    BATCH_SIZES.observe(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
    COMMITS.observe(duration.as_secs_f64());
}

/// A write was rejected because the queue was full.
pub fn record_rejected_write() {
    REJECTED.inc();
}
