//! Jobs that are due. All instants are the caller's.

use domain::id::{AccountId, ConnectionId};
use domain::job::JobId;
use domain::time::Timestamp;
use rusqlite::{Connection, named_params};

use super::jobs::SQL;
use super::rows::Columns;
use super::statements;
use crate::due_class::{ENDED_CLASS, QUEUED_CLASS, STARTED_CLASS};
use crate::due_order::{Candidate, Running, order_due};
use crate::sql::statement;
use crate::{DueJob, DueLimits, Work};

const FIND_FENCE: &str = statement(SQL, "find_fence_of_due_job");
const COUNT_RUNNING: &str = statement(SQL, "count_running_jobs");
const FIND_NEXT_CONNECTION: &str = statement(SQL, "find_next_connection");
const LIST_DUE_PUBLICATIONS: &str = statement(SQL, "list_due_publications");
const LIST_DUE_OF_CONNECTION: &str = statement(SQL, "list_due_jobs_of_connection");

/// The due jobs, in fair order. Each connection costs a few seeks in the index, however many of its jobs wait.
pub(super) fn list(
    database: &Connection,
    now: Timestamp,
    work: Work,
    limits: &DueLimits,
) -> rusqlite::Result<Vec<DueJob>> {
    let classes: &[i64] = match work {
        Work::Upload => &[STARTED_CLASS, QUEUED_CLASS],
        Work::Webhook => &[ENDED_CLASS],
        Work::Publication => return list_publications(database, now, limits.total),
    };
    let running = list_running(database, now, work)?;
    let mut candidates = Vec::new();
    let mut found = next_connection(database, "", "")?;
    // A lease may be taken by another worker meanwhile.
    let per_connection = limits.per_connection.saturating_add(4).min(limits.total);
    while let Some((account, connection)) = found {
        for class in classes {
            let parameters = named_params! {
                ":account_id": account,
                ":connection_id": connection,
                ":due_class": class,
                ":now": now.as_micros(),
                ":limit": per_connection,
            };
            let due = statements::list(database, LIST_DUE_OF_CONNECTION, parameters, |row| {
                let mut columns = Columns::of(row);
                Ok(Candidate {
                    job: DueJob {
                        account_id: AccountId::from_stored(account.clone()),
                        connection_id: ConnectionId::from_stored(connection.clone()),
                        id: JobId::from_stored(columns.get("job_id")?),
                        fence: columns.get("fence")?,
                    },
                    is_queued: *class == QUEUED_CLASS,
                    due_at: columns.get("due_at")?,
                })
            })?;
            candidates.extend(due);
        }
        found = next_connection(database, &account, &connection)?;
    }
    Ok(order_due(candidates, &running, limits))
}

/// The videos whose time has come, the earliest first.
fn list_publications(database: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<Vec<DueJob>> {
    let parameters = named_params! { ":now": now.as_micros(), ":limit": limit };
    statements::list(database, LIST_DUE_PUBLICATIONS, parameters, |row| {
        let mut columns = Columns::of(row);
        Ok(DueJob {
            account_id: AccountId::from_stored(columns.get("account_id")?),
            connection_id: ConnectionId::from_stored(columns.get("connection_id")?),
            id: JobId::from_stored(columns.get("job_id")?),
            fence: columns.get("fence")?,
        })
    })
}

fn next_connection(
    database: &Connection,
    account: &str,
    connection: &str,
) -> rusqlite::Result<Option<(String, String)>> {
    let parameters = named_params! { ":account_id": account, ":connection_id": connection };
    statements::find(database, FIND_NEXT_CONNECTION, parameters, |row| Ok((row.get(0)?, row.get(1)?)))
}

fn list_running(database: &Connection, now: Timestamp, work: Work) -> rusqlite::Result<Vec<Running>> {
    let parameters = named_params! { ":now": now.as_micros(), ":work": work.number() };
    statements::list(database, COUNT_RUNNING, parameters, |row| {
        Ok(Running {
            account_id: AccountId::from_stored(row.get("account_id")?),
            connection_id: ConnectionId::from_stored(row.get("connection_id")?),
            count: row.get("count")?,
        })
    })
}

/// The fence of a job for which this work is due, and that no worker holds.
pub(super) fn find_fence(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    work: Work,
    now: Timestamp,
) -> rusqlite::Result<Option<u64>> {
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":job_id": id.as_str(),
        ":work": work.number(),
        ":now": now.as_micros(),
    };
    statements::find(database, FIND_FENCE, parameters, |row| row.get("fence"))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::contract::{TestDatabase, job_samples, samples};

    #[tokio::test]
    async fn the_next_connection_is_found_without_reading_the_jobs_before_it() {
        let db = TestDatabase::sqlite();
        let store = db.open().await;
        let account = samples::insert_account(&*store, 1).await;
        samples::insert_connection(&*store, &account, 1, "c").await.unwrap();
        let database = Connection::open(db.path()).unwrap();
        let mut work = Vec::new();
        for number in 1..=100 {
            let job = job_samples::insert_job(&*store, &account, number, 1).await;
            if number % 99 == 1 {
                let mut statement = database.prepare(FIND_NEXT_CONNECTION).unwrap();
                let (account_id, connection_id) = (account.as_str(), job.connection_id.as_str());
                let after = named_params! { ":account_id": account_id, ":connection_id": connection_id };
                assert!(!statement.exists(after).unwrap());
                work.push(statement.get_status(StatementStatus::VmStep));
            }
        }
        assert_eq!(work, [work[0]; 2], "beside 1 job and beside 100");
    }
}
