//! The secrets of jobs: each is a row, whose key is among the sealing keys, where it is wiped in place.

use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId};
use domain::secret::Sealed;
use rusqlite::{Connection, named_params};

use super::jobs::SQL;
use super::{rows, sealing_keys, statements};
use crate::jobs::{Part, PartAfter};
use crate::sql::statement;

const INSERT: &str = statement(SQL, "insert_secret");
const RETAIN: &str = statement(SQL, "retain_request");
const DELETE: &str = statement(SQL, "delete_secret");
const FIND: &str = statement(SQL, "find_secret");
const WIPE_KEYS_OF_CONNECTION: &str = statement(SQL, "wipe_sealing_keys_of_connection");
const DELETE_OF_CONNECTION: &str = statement(SQL, "delete_secrets_of_connection");
const WIPE_KEPT_KEYS_OF_CONNECTION: &str = statement(SQL, "wipe_kept_sealing_keys_of_connection");
const DELETE_KEPT_OF_CONNECTION: &str = statement(SQL, "delete_kept_secrets_of_connection");
const WIPE_KEYS_OF_ACCOUNT: &str = statement(SQL, "wipe_sealing_keys_of_account");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_secrets_of_account");

pub(super) fn insert(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    part: Part,
    sealed: &Sealed,
) -> rusqlite::Result<()> {
    let sealing_key_id = sealing_keys::insert(database, &sealed.sealing_key)?;
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":job_id": id.as_str(),
        ":part": part.as_str(),
        ":sealing_key_id": sealing_key_id,
        ":envelope": sealed.envelope,
    };
    statements::execute(database, INSERT, parameters).map(drop)
}

/// Keeps, replaces, retains or wipes a part.
pub(super) fn update(
    database: &Connection,
    account: &AccountId,
    job: &Job,
    (part, becomes): (Part, PartAfter<'_>),
) -> rusqlite::Result<()> {
    let id = &job.id;
    match becomes {
        PartAfter::Kept => Ok(()),
        PartAfter::Wiped => wipe(database, account, id, part),
        PartAfter::Retained => {
            let parameters = named_params! {
                ":account_id": account.as_str(),
                ":job_id": id.as_str(),
                ":connection_id": job.connection_id.as_str(),
                ":kept_since": job.updated_at.as_micros(),
            };
            match statements::execute(database, RETAIN, parameters)? {
                0 => wipe(database, account, id, part),
                _ => Ok(()),
            }
        }
        PartAfter::Replaced(sealed) => {
            wipe(database, account, id, part)?;
            insert(database, account, id, part, sealed)
        }
    }
}

fn wipe(database: &Connection, account: &AccountId, id: &JobId, part: Part) -> rusqlite::Result<()> {
    let key =
        named_params! { ":account_id": account.as_str(), ":job_id": id.as_str(), ":part": part.as_str() };
    let sealing_key_id = statements::find(database, DELETE, key, |row| row.get("sealing_key_id"))?;
    sealing_key_id.map_or(Ok(()), |sealing_key_id| sealing_keys::wipe(database, sealing_key_id))
}

/// A secret. One with a missing sealing key is read as one with a wiped key: it is there and cannot be decrypted.
pub(super) fn find(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    part: Part,
) -> rusqlite::Result<Option<Sealed>> {
    let key =
        named_params! { ":account_id": account.as_str(), ":job_id": id.as_str(), ":part": part.as_str() };
    statements::find(database, FIND, key, |row| {
        Ok(Sealed { envelope: row.get("envelope")?, sealing_key: rows::wrapped_key(row, "wrapped_key")? })
    })
}

/// Wipes the secrets that the jobs of a connection, which is being deleted, no longer need.
pub(super) fn wipe_of_connection(
    database: &Connection,
    account: &AccountId,
    connection: &ConnectionId,
) -> rusqlite::Result<()> {
    let key = named_params! { ":account_id": account.as_str(), ":connection_id": connection.as_str() };
    statements::execute(database, WIPE_KEYS_OF_CONNECTION, key)?;
    statements::execute(database, DELETE_OF_CONNECTION, key)?;
    statements::execute(database, WIPE_KEPT_KEYS_OF_CONNECTION, key)?;
    statements::execute(database, DELETE_KEPT_OF_CONNECTION, key).map(drop)
}

/// Wipes the secrets of an account's first jobs, up to `limit` jobs, which are about to be deleted.
pub(super) fn wipe_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<()> {
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, WIPE_KEYS_OF_ACCOUNT, parameters)?;
    statements::execute(database, DELETE_OF_ACCOUNT, parameters).map(drop)
}
