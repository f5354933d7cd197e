//! What this machine allows at most: nothing that works as the service does can be faster.

pub(crate) mod append;
pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod raw_log;

use std::time::Duration;

use serde::Serialize;

/// A limit that operations are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Limit {
    /// The smallest HTTP server with a constant answer, under the same load.
    H,
    /// A log with one sync a batch and an index in memory.
    R,
    /// The same rows and questions to PostgreSQL with no HTTP.
    P,
}

impl Limit {
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::H => "H",
            Self::R => "R",
            Self::P => "P",
        }
    }
}

/// How many ask at the same time, everywhere.
pub(crate) const SUBMITTERS: usize = 64;

/// How many of something were done in a while.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
pub(crate) fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}
