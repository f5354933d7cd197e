//! The limits of this machine, which the service cannot exceed.

pub(crate) mod append;
pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod raw_log;
mod rows;

use std::time::Duration;

use serde::Serialize;

/// A limit for operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Limit {
    /// A minimal HTTP server with a constant response, under the same load.
    H,
    /// A log with one sync per batch and an index in memory.
    R,
    /// The same rows and queries on PostgreSQL, without HTTP.
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

/// The number of concurrent clients in all limits.
pub(crate) const SUBMITTERS: usize = 64;

/// The rate of a count in a time.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
pub(crate) fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}
