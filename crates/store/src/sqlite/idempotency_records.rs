//! Idempotency records: a key is reserved, completed together with the effect, and forgotten in the end.

use async_trait::async_trait;
use domain::id::AccountId;
use domain::idempotency::{ANSWER_KEPT_SECONDS, KeptAnswer, OnceRequest, RequestMac, Reservation, Reserved};
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::writer::Step;
use super::{Sqlite, accounts, rows};
use crate::{Completion, Error, Idempotency};

#[async_trait]
impl Idempotency for Sqlite {
    async fn reserve_idempotency_key(
        &self,
        account: &AccountId,
        request: &OnceRequest,
    ) -> Result<Reserved, Error> {
        let (account, request) = (account.clone(), request.clone());
        self.writer.write(move |connection| reserve(connection, &account, &request)).await
    }

    async fn release_idempotency_key(
        &self,
        account: &AccountId,
        reservation: &Reservation,
        at: Timestamp,
    ) -> Result<(), Error> {
        let (account, reservation) = (account.clone(), reservation.clone());
        self.writer.write(move |connection| release(connection, &account, &reservation, at)).await
    }

    async fn delete_idempotency_records(&self, now: Timestamp, limit: u32) -> Result<usize, Error> {
        let until = now.plus_seconds(-ANSWER_KEPT_SECONDS);
        self.writer.write(move |connection| delete_ended(connection, until, limit)).await
    }
}

/// What is known of a key.
struct Record {
    attempt: u64,
    mac: RequestMac,
    reserved_until: Timestamp,
    is_released: bool,
    answer: Option<(Timestamp, KeptAnswer)>,
}

pub(super) fn reserve(connection: &Connection, account: &AccountId, request: &OnceRequest) -> Step<Reserved> {
    // The account may have been deleted since the caller was let in.
    if !accounts::exists(connection, account)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let known = find(connection, account, request)?;
    let reserved = |attempt| Reservation { operation: request.operation, key: request.key.clone(), attempt };
    let Some(record) = known else {
        insert(connection, account, request)?;
        return Ok(Ok(Reserved::Now(reserved(1))));
    };
    let is_alive = match &record.answer {
        Some((answered_at, _)) => *answered_at > request.forgotten_before(),
        None => !record.is_released && record.reserved_until > request.at,
    };
    if is_alive {
        return Ok(Ok(match record.answer {
            _ if record.mac != request.mac => Reserved::OtherBody,
            Some((_, answer)) => Reserved::Done(answer),
            None => Reserved::InUse,
        }));
    }
    let attempt = record.attempt + 1;
    take_over(connection, account, request, attempt)?;
    Ok(Ok(Reserved::Now(reserved(attempt))))
}

fn find(
    connection: &Connection,
    account: &AccountId,
    request: &OnceRequest,
) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare_cached(
            "SELECT attempt, request_mac, reserved_until, is_released, answered_at, answer
             FROM idempotency_records
             WHERE account_id = ?1 AND operation = ?2 AND idempotency_key = ?3",
        )?
        .query_row((account.as_str(), request.operation.as_str(), request.key.as_str()), record)
        .optional()
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let answer: Option<Vec<u8>> = row.get("answer")?;
    Ok(Record {
        attempt: row.get("attempt")?,
        mac: RequestMac(rows::bytes(row, "request_mac")?),
        reserved_until: rows::instant(row, "reserved_until")?,
        is_released: row.get("is_released")?,
        answer: rows::optional_instant(row, "answered_at")?.zip(answer.map(KeptAnswer)),
    })
}

fn insert(connection: &Connection, account: &AccountId, request: &OnceRequest) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO idempotency_records
                (account_id, operation, idempotency_key, attempt, request_mac, reserved_until, operation_id)
             VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)",
        )?
        .execute((
            account.as_str(),
            request.operation.as_str(),
            request.key.as_str(),
            request.mac.0,
            request.reserved_until().as_micros(),
            request.operation_id.0,
        ))
        .map(drop)
}

fn take_over(
    connection: &Connection,
    account: &AccountId,
    request: &OnceRequest,
    attempt: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE idempotency_records
             SET attempt = ?4, request_mac = ?5, reserved_until = ?6, operation_id = ?7,
                is_released = 0, answered_at = NULL, answer = NULL
             WHERE account_id = ?1 AND operation = ?2 AND idempotency_key = ?3",
        )?
        .execute((
            account.as_str(),
            request.operation.as_str(),
            request.key.as_str(),
            attempt,
            request.mac.0,
            request.reserved_until().as_micros(),
            request.operation_id.0,
        ))
        .map(drop)
}

/// Whether a reservation still holds its key: asked before the effect is written.
pub(super) fn is_held(
    connection: &Connection,
    account: &AccountId,
    reservation: &Reservation,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM idempotency_records
             WHERE account_id = ?1 AND operation = ?2 AND idempotency_key = ?3 AND attempt = ?4
                AND answer IS NULL AND is_released = 0)",
        )?
        .query_row(
            (account.as_str(), reservation.operation.as_str(), reservation.key.as_str(), reservation.attempt),
            |row| row.get(0),
        )
}

/// Keeps the answer, in the transaction of the effect.
pub(super) fn complete(
    connection: &Connection,
    account: &AccountId,
    completion: &Completion,
) -> rusqlite::Result<()> {
    let reservation = &completion.reservation;
    connection
        .prepare_cached(
            "UPDATE idempotency_records SET answered_at = ?5, answer = ?6
             WHERE account_id = ?1 AND operation = ?2 AND idempotency_key = ?3 AND attempt = ?4",
        )?
        .execute((
            account.as_str(),
            reservation.operation.as_str(),
            reservation.key.as_str(),
            reservation.attempt,
            completion.at.as_micros(),
            &completion.answer.0,
        ))
        .map(drop)
}

/// Ends a reservation that led to nothing. The row stays until it is swept, so that the count of attempts goes on:
/// begun anew, it could give an attempt that lost the key its number back.
pub(super) fn release(
    connection: &Connection,
    account: &AccountId,
    reservation: &Reservation,
    at: Timestamp,
) -> Step<()> {
    connection
        .prepare_cached(
            "UPDATE idempotency_records SET reserved_until = min(reserved_until, ?5), is_released = 1
             WHERE account_id = ?1 AND operation = ?2 AND idempotency_key = ?3 AND attempt = ?4 AND answer IS NULL",
        )?
        .execute((
            account.as_str(),
            reservation.operation.as_str(),
            reservation.key.as_str(),
            reservation.attempt,
            at.as_micros(),
        ))?;
    Ok(Ok(()))
}

/// Forgets what ended at an instant or before, at most so many; how many there were.
pub(super) fn delete_ended(connection: &Connection, until: Timestamp, limit: u32) -> Step<usize> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM idempotency_records WHERE rowid IN
                (SELECT rowid FROM idempotency_records
                 WHERE reserved_until <= ?1 AND coalesce(answered_at, reserved_until) <= ?1 LIMIT ?2)",
        )?
        .execute((until.as_micros(), limit))?;
    Ok(Ok(deleted))
}

/// Forgets an account's records, at most so many.
pub(super) fn delete_of_account(
    connection: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM idempotency_records WHERE rowid IN
                (SELECT rowid FROM idempotency_records WHERE account_id = ?1
                 ORDER BY operation, idempotency_key LIMIT ?2)",
        )?
        .execute((account.as_str(), limit))
}
