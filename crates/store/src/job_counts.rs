//! Counts of jobs: of all accounts, for metrics; of one by status.

use async_trait::async_trait;
use domain::job::JobStatus;
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

/// Numbers of jobs by their status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Jobs that have not ended.
    pub in_progress: u64,
    /// Completed ones.
    pub completed: u64,
    /// Failed ones.
    pub failed: u64,
    /// Cancelled ones.
    pub cancelled: u64,
}

impl StatusCounts {
    /// From rows of names and numbers. A name that this version does not know is not counted.
    pub(crate) fn of(rows: Vec<(String, u64)>) -> Self {
        let mut counts = Self::default();
        for (name, count) in rows {
            match JobStatus::parse(&name) {
                Ok(JobStatus::InProgress) => counts.in_progress = count,
                Ok(JobStatus::Completed) => counts.completed = count,
                Ok(JobStatus::Failed) => counts.failed = count,
                Ok(JobStatus::Cancelled) => counts.cancelled = count,
                Err(_) => {}
            }
        }
        counts
    }

    /// The jobs with this status.
    pub fn with(&self, status: JobStatus) -> u64 {
        match status {
            JobStatus::InProgress => self.in_progress,
            JobStatus::Completed => self.completed,
            JobStatus::Failed => self.failed,
            JobStatus::Cancelled => self.cancelled,
        }
    }

    /// All jobs.
    pub fn total(&self) -> u64 {
        JobStatus::ALL.into_iter().map(|status| self.with(status)).sum()
    }
}
