//! Counts of jobs, for metrics.

use async_trait::async_trait;
use domain::time::Timestamp;

use crate::Error;

/// Counts of jobs of all accounts.
#[async_trait]
pub trait JobCounts: Send + Sync {
    /// The jobs with something left to do, in groups without an order: unfinished ones, and ended ones whose webhook is not
    /// delivered. Reads each of them, and no others: the cost grows with the backlog. With SQLite, the calling thread reads.
    async fn count_open_jobs(&self, now: Timestamp) -> Result<Vec<JobCount>, Error>;
}

/// Jobs with the same state that wait for the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobCount {
    /// The name of their state.
    pub state: String,
    /// The name of what they wait for, as it was last written.
    pub waiting_for: Option<String>,
    /// Whether workers hold them.
    pub is_leased: bool,
    /// How many they are; at least one.
    pub count: u64,
    /// When the oldest was created.
    pub oldest_created_at: Timestamp,
    /// When the first is due.
    pub earliest_due_at: Timestamp,
}
