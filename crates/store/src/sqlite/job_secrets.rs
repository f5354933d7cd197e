//! What jobs keep sealed: each part is a row, and its key stands among the sealing keys, where it is wiped in place.

use domain::id::{AccountId, ConnectionId};
use domain::job::JobId;
use domain::secret::Sealed;
use rusqlite::{Connection, OptionalExtension as _};

use super::{rows, sealing_keys};
use crate::jobs::{Part, PartAfter};

pub(super) fn insert(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    part: Part,
    sealed: &Sealed,
) -> rusqlite::Result<()> {
    let sealing_key_id = sealing_keys::insert(database, &sealed.sealing_key)?;
    database
        .prepare_cached(
            "INSERT INTO job_secrets (account_id, job_id, part, sealing_key_id, envelope) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((account.as_str(), id.as_str(), part.as_str(), sealing_key_id, &sealed.envelope))
        .map(drop)
}

/// Keeps, replaces or wipes a part.
pub(super) fn update(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    (part, becomes): (Part, PartAfter<'_>),
) -> rusqlite::Result<()> {
    match becomes {
        PartAfter::Kept => Ok(()),
        PartAfter::Wiped => wipe(database, account, id, part),
        PartAfter::Replaced(sealed) => {
            wipe(database, account, id, part)?;
            insert(database, account, id, part, sealed)
        }
    }
}

fn wipe(database: &Connection, account: &AccountId, id: &JobId, part: Part) -> rusqlite::Result<()> {
    let sealing_key_id = database
        .prepare_cached(
            "DELETE FROM job_secrets WHERE account_id = ?1 AND job_id = ?2 AND part = ?3 RETURNING sealing_key_id",
        )?
        .query_row((account.as_str(), id.as_str(), part.as_str()), |row| row.get(0))
        .optional()?;
    sealing_key_id.map_or(Ok(()), |sealing_key_id| sealing_keys::wipe(database, sealing_key_id))
}

/// A part; one whose sealing key is missing is read as one whose key was wiped: it is there, and does not open.
pub(super) fn find(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    part: Part,
) -> rusqlite::Result<Option<Sealed>> {
    database
        .prepare_cached(
            "SELECT envelope, coalesce(wrapped_key, zeroblob(60)) AS wrapped_key
             FROM job_secrets LEFT JOIN sealing_keys USING (sealing_key_id)
             WHERE account_id = ?1 AND job_id = ?2 AND part = ?3",
        )?
        .query_row((account.as_str(), id.as_str(), part.as_str()), |row| {
            Ok(Sealed { envelope: row.get("envelope")?, sealing_key: rows::wrapped_key(row, "wrapped_key")? })
        })
        .optional()
}

/// The parts that are no longer needed once a connection is deleted, of its jobs that have not ended. The cross join keeps
/// its order: an account may have many more jobs than the connection.
macro_rules! useless_parts {
    () => {
        "FROM jobs j CROSS JOIN job_secrets s ON s.account_id = j.account_id AND s.job_id = j.job_id
         WHERE j.account_id = ?1 AND j.connection_id = ?2 AND j.due_at IS NOT NULL
            AND j.due_class < 2 AND (s.part <> 'request' OR j.webhook <> 'waiting')"
    };
}

/// Wipes what the jobs of a connection need no more that are about to be cancelled.
pub(super) fn wipe_of_connection(
    database: &Connection,
    account: &AccountId,
    connection: &ConnectionId,
) -> rusqlite::Result<()> {
    let key = (account.as_str(), connection.as_str());
    database
        .prepare_cached(concat!(
            "UPDATE sealing_keys SET wrapped_key = zeroblob(60) WHERE sealing_key_id IN (SELECT s.sealing_key_id ",
            useless_parts!(),
            ")"
        ))?
        .execute(key)?;
    database
        .prepare_cached(concat!(
            "DELETE FROM job_secrets WHERE rowid IN (SELECT s.rowid ",
            useless_parts!(),
            ")"
        ))?
        .execute(key)
        .map(drop)
}

/// Wipes what an account's first jobs keep, at most so many jobs, which are about to be deleted.
pub(super) fn wipe_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "UPDATE sealing_keys SET wrapped_key = zeroblob(60) WHERE sealing_key_id IN
                (SELECT sealing_key_id FROM job_secrets WHERE account_id = ?1 AND job_id IN
                    (SELECT job_id FROM jobs WHERE account_id = ?1 ORDER BY job_id LIMIT ?2))",
        )?
        .execute((account.as_str(), limit))?;
    database
        .prepare_cached(
            "DELETE FROM job_secrets WHERE account_id = ?1 AND job_id IN
                (SELECT job_id FROM jobs WHERE account_id = ?1 ORDER BY job_id LIMIT ?2)",
        )?
        .execute((account.as_str(), limit))
        .map(drop)
}
