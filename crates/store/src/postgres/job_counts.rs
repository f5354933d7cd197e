//! Counts of jobs, for metrics.

use async_trait::async_trait;
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::Postgres;
use super::pg_error::PgError;
use super::rows::Columns;
use crate::Error;
use crate::job_counts::{JobCount, JobCounts};
use crate::sql::statement;

const COUNT_OPEN: &str = statement(include_str!("sql/job_counts.sql"), "count_open_jobs");

#[async_trait]
impl JobCounts for Postgres {
    async fn count_open_jobs(&self, now: Timestamp) -> Result<Vec<JobCount>, Error> {
        self.read(COUNT_OPEN, &[("now", &self.clock.or_the_servers(now))], job_count).await
    }
}

fn job_count(row: &Row) -> Result<JobCount, PgError> {
    let mut columns = Columns::of(row);
    Ok(JobCount {
        state: columns.get("state")?,
        waiting_for: columns.get("waiting_for")?,
        is_leased: columns.get("is_leased")?,
        count: columns.get_count("count")?,
        oldest_created_at: columns.get_instant("oldest_created_at")?,
        earliest_due_at: columns.get_instant("earliest_due_at")?,
    })
}
