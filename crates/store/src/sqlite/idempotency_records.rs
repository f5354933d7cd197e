//! Idempotency records: a key is reserved, completed in the transaction of the effect, and deleted a day later.

use async_trait::async_trait;
use domain::id::AccountId;
use domain::idempotency::{
    RESPONSE_TTL_SECONDS, RequestMac, Reservation, ReserveRequest, Reserved, StoredResponse,
};
use domain::time::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, accounts, rows, statements};
use crate::sql::statement;
use crate::{Completion, Error, Idempotency};

const SQL: &str = include_str!("sql/idempotency_records.sql");
const FIND: &str = statement(SQL, "find_record");
const IS_HELD: &str = statement(SQL, "reservation_is_held");
const INSERT: &str = statement(SQL, "insert_record");
const TAKE_OVER: &str = statement(SQL, "take_over_record");
const COMPLETE: &str = statement(SQL, "complete_record");
const RELEASE: &str = statement(SQL, "release_record");
const DELETE_ENDED: &str = statement(SQL, "delete_ended_records");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_records_of_account");

#[async_trait]
impl Idempotency for Sqlite {
    async fn reserve_idempotency_key(
        &self,
        account: &AccountId,
        request: &ReserveRequest,
    ) -> Result<Reserved, Error> {
        let (account, request) = (account.clone(), request.clone());
        self.writer.write(move |database| reserve(database, &account, &request)).await
    }

    async fn release_idempotency_key(
        &self,
        account: &AccountId,
        reservation: &Reservation,
        at: Timestamp,
    ) -> Result<(), Error> {
        let (account, reservation) = (account.clone(), reservation.clone());
        self.writer.write(move |database| release(database, &account, &reservation, at)).await
    }

    async fn delete_idempotency_records(&self, now: Timestamp, limit: u32) -> Result<usize, Error> {
        let ended_before = now.plus_seconds(-RESPONSE_TTL_SECONDS).as_micros();
        let delete = move |database: &Connection| -> WriteResult<usize> {
            let parameters = named_params! { ":ended_before": ended_before, ":limit": limit };
            statements::execute(database, DELETE_ENDED, parameters).map(Ok)
        };
        self.writer.write(delete).await
    }
}

/// The stored state of a key.
struct Record {
    attempt: u64,
    mac: RequestMac,
    reserved_until: Timestamp,
    is_released: bool,
    answer: Option<(Timestamp, StoredResponse)>,
}

fn reserve(database: &Connection, account: &AccountId, request: &ReserveRequest) -> WriteResult<Reserved> {
    // The account may have been deleted since the caller was authenticated.
    if !accounts::exists(database, account)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let reserved = |attempt| Reservation { operation: request.operation, key: request.key.clone(), attempt };
    let Some(record) = find(database, account, request)? else {
        insert(database, account, request)?;
        return Ok(Ok(Reserved::Acquired(reserved(1))));
    };
    let is_alive = match &record.answer {
        Some((answered_at, _)) => *answered_at > request.expired_before(),
        None => !record.is_released && record.reserved_until > request.at,
    };
    if is_alive {
        return Ok(Ok(match record.answer {
            _ if !request.is_of_body(&record.mac) => Reserved::BodyMismatch,
            Some((_, answer)) => Reserved::Completed(answer),
            None => Reserved::InProgress,
        }));
    }
    let attempt = record.attempt + 1;
    take_over(database, account, request, attempt)?;
    Ok(Ok(Reserved::Acquired(reserved(attempt))))
}

fn find(
    database: &Connection,
    account: &AccountId,
    request: &ReserveRequest,
) -> rusqlite::Result<Option<Record>> {
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":operation": request.operation.as_str(),
        ":idempotency_key": request.key.as_str(),
    };
    statements::find(database, FIND, parameters, record_from)
}

fn record_from(row: &Row<'_>) -> rusqlite::Result<Record> {
    let answer: Option<Vec<u8>> = row.get("answer")?;
    Ok(Record {
        attempt: row.get("attempt")?,
        mac: RequestMac(rows::bytes(row, "request_mac")?),
        reserved_until: rows::instant(row, "reserved_until")?,
        is_released: row.get("is_released")?,
        answer: rows::optional_instant(row, "answered_at")?.zip(answer.map(StoredResponse)),
    })
}

fn insert(database: &Connection, account: &AccountId, request: &ReserveRequest) -> rusqlite::Result<()> {
    statements::execute(
        database,
        INSERT,
        named_params! {
            ":account_id": account.as_str(),
            ":operation": request.operation.as_str(),
            ":idempotency_key": request.key.as_str(),
            ":request_mac": request.mac.0,
            ":reserved_until": request.reserved_until().as_micros(),
            ":operation_id": request.operation_id.0,
        },
    )
    .map(drop)
}

fn take_over(
    database: &Connection,
    account: &AccountId,
    request: &ReserveRequest,
    attempt: u64,
) -> rusqlite::Result<()> {
    statements::execute(
        database,
        TAKE_OVER,
        named_params! {
            ":account_id": account.as_str(),
            ":operation": request.operation.as_str(),
            ":idempotency_key": request.key.as_str(),
            ":attempt": attempt,
            ":request_mac": request.mac.0,
            ":reserved_until": request.reserved_until().as_micros(),
            ":operation_id": request.operation_id.0,
        },
    )
    .map(drop)
}

/// Whether a reservation still holds its key. Called before the effect is written.
pub(super) fn is_held(
    database: &Connection,
    account: &AccountId,
    reservation: &Reservation,
) -> rusqlite::Result<bool> {
    statements::value(
        database,
        IS_HELD,
        named_params! {
            ":account_id": account.as_str(),
            ":operation": reservation.operation.as_str(),
            ":idempotency_key": reservation.key.as_str(),
            ":attempt": reservation.attempt,
        },
    )
}

/// Stores the response, in the transaction of the effect.
pub(super) fn complete(
    database: &Connection,
    account: &AccountId,
    completion: &Completion,
) -> rusqlite::Result<()> {
    let reservation = &completion.reservation;
    statements::execute(
        database,
        COMPLETE,
        named_params! {
            ":account_id": account.as_str(),
            ":operation": reservation.operation.as_str(),
            ":idempotency_key": reservation.key.as_str(),
            ":attempt": reservation.attempt,
            ":answered_at": completion.at.as_micros(),
            ":answer": completion.answer.0,
        },
    )
    .map(drop)
}

/// Releases a reservation without a result. The row stays until it is swept, so that the attempts continue to count up:
/// after a restart at 1, an attempt that lost the key could get its number back.
fn release(
    database: &Connection,
    account: &AccountId,
    reservation: &Reservation,
    at: Timestamp,
) -> WriteResult<()> {
    statements::execute(
        database,
        RELEASE,
        named_params! {
            ":account_id": account.as_str(),
            ":operation": reservation.operation.as_str(),
            ":idempotency_key": reservation.key.as_str(),
            ":attempt": reservation.attempt,
            ":now": at.as_micros(),
        },
    )?;
    Ok(Ok(()))
}

/// Deletes an account's records, up to `limit`. Returns how many.
pub(super) fn delete_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, DELETE_OF_ACCOUNT, parameters)
}
