//! Counts of jobs, for metrics.

use async_trait::async_trait;
use domain::time::Timestamp;
use rusqlite::{Connection, named_params};

use super::{Sqlite, statements};
use crate::Error;
use crate::job_counts::{JobCount, JobCounts};
use crate::sql::statement;

const COUNT_OPEN: &str = statement(include_str!("sql/job_counts.sql"), "count_open_jobs");

#[async_trait]
impl JobCounts for Sqlite {
    async fn count_open_jobs(&self, now: Timestamp) -> Result<Vec<JobCount>, Error> {
        self.readers.read(|database| count(database, now))
    }
}

fn count(database: &Connection, now: Timestamp) -> rusqlite::Result<Vec<JobCount>> {
    statements::list(database, COUNT_OPEN, named_params! { ":now": now.as_micros() }, |row| {
        Ok(JobCount {
            state: row.get("state")?,
            waiting_for: row.get("waiting_for")?,
            is_leased: row.get("is_leased")?,
            count: row.get("count")?,
            oldest_created_at: Timestamp::from_micros(row.get("oldest_created_at")?),
            earliest_due_at: Timestamp::from_micros(row.get("earliest_due_at")?),
        })
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::contract::{TestDatabase, job_samples, samples};

    #[tokio::test]
    async fn ended_jobs_cost_a_count_nothing() {
        let db = TestDatabase::sqlite();
        let store = db.open().await;
        let account = samples::insert_account(&*store, 1).await;
        samples::insert_connection(&*store, &account, 1, "c").await.unwrap();
        job_samples::insert_job(&*store, &account, 1, 1).await;
        let database = Connection::open(db.path()).unwrap();
        let cost = || {
            let mut statement = database.prepare(COUNT_OPEN).unwrap();
            let counted: Vec<u64> = statement
                .query_map(named_params! { ":now": 0 }, |row| row.get("count"))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert_eq!(counted, [1]);
            statement.get_status(StatementStatus::VmStep)
        };
        let alone = cost();
        for number in 2..=100 {
            job_samples::insert_job(&*store, &account, number, 1).await;
        }
        let ended = "UPDATE jobs SET state = 'cancelled', due_at = NULL WHERE job_id <> ?1";
        database.execute(ended, [job_samples::job_id(1).as_str()]).unwrap();
        assert_eq!(cost(), alone);
    }
}
