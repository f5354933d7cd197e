//! Idempotency records: a key is reserved, completed in the transaction of the effect, and deleted a day later. All by the
//! database's clock, so that a node whose clock is wrong neither takes another node's key nor keeps one too long.

use async_trait::async_trait;
use domain::id::AccountId;
use domain::idempotency::{
    RESERVATION_SECONDS, RESPONSE_TTL_SECONDS, RequestMac, Reservation, ReserveRequest, Reserved,
    StoredResponse,
};
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::clock::Clock;
use super::parameters::{Parameters, column, distinct};
use super::pg_error::PgError;
use super::sessions::Session;
use super::writes::{Answers, BatchWrite, SingleWrite, Write};
use super::{Postgres, rows};
use crate::sql::statement;
use crate::{Error, Idempotency};

const SQL: &str = include_str!("sql/idempotency_records.sql");
pub(super) const RESERVE: &str = statement(SQL, "reserve_keys");
pub(super) const FIND: &str = statement(SQL, "find_records");
pub(super) const RELEASE: &str = statement(SQL, "release_keys");
pub(super) const DELETE_ENDED: &str = statement(SQL, "delete_ended_records");

const RESERVATION_MICROS: i64 = RESERVATION_SECONDS * 1_000_000;
const KEPT_MICROS: i64 = RESPONSE_TTL_SECONDS * 1_000_000;

#[async_trait]
impl Idempotency for Postgres {
    async fn reserve_idempotency_key(
        &self,
        account: &AccountId,
        request: &ReserveRequest,
    ) -> Result<Reserved, Error> {
        let (account, request) = (account.clone(), request.clone());
        self.reservations.write(Reserve { account, request, clock: self.clock }).await
    }

    async fn release_idempotency_key(
        &self,
        account: &AccountId,
        reservation: &Reservation,
        at: Timestamp,
    ) -> Result<(), Error> {
        let (account, reservation) = (account.clone(), reservation.clone());
        self.releases.write(Release { account, reservation, at, clock: self.clock }).await
    }

    async fn delete_idempotency_records(&self, now: Timestamp, limit: u32) -> Result<usize, Error> {
        self.writer.write(DeleteEnded { now, limit, clock: self.clock }).await
    }
}

/// The account, the operation and the key of a record.
type RecordKey = (AccountId, &'static str, String);

/// Reserves a key, or returns the state of the request that has it.
pub(super) struct Reserve {
    account: AccountId,
    request: ReserveRequest,
    clock: Clock,
}

impl BatchWrite for Reserve {
    type Key = RecordKey;

    fn key(&self) -> Self::Key {
        let request = &self.request;
        (self.account.clone(), request.operation.as_str(), request.key.as_str().to_owned())
    }

    fn account(&self) -> &AccountId {
        &self.account
    }
}

#[async_trait]
impl Write for Reserve {
    type Answer = Reserved;

    // The record itself shows which attempt has the key, so that no audit event is needed.
    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError> {
        let account_ids = column(writes, |write| write.account.as_str());
        let operations = column(writes, |write| write.request.operation.as_str());
        let keys = column(writes, |write| write.request.key.as_str());
        let parameters: Parameters<'_> = &[
            ("account_id", &account_ids),
            ("operation", &operations),
            ("idempotency_key", &keys),
            ("request_mac", &column(writes, |write| write.request.mac.0.as_slice())),
            ("operation_id", &column(writes, |write| write.request.operation_id.0.as_slice())),
            ("now", &column(writes, |write| write.clock.or_the_servers(write.request.at))),
            ("reservation_micros", &RESERVATION_MICROS),
            ("kept_micros", &KEPT_MICROS),
        ];
        let taken = session.query_named(RESERVE, parameters).await?;
        let mut answers: Answers<Self> = Vec::new();
        for (write, row) in writes.iter().zip(&taken) {
            let attempt: Option<i64> = rows::get(row, "attempt")?;
            answers.push(match attempt {
                _ if !rows::get::<bool>(row, "is_active")? => Some(Err(Error::KeyNotActive)),
                Some(_) => Some(Ok(Reserved::Acquired(write.reservation(rows::count(row, "attempt")?)))),
                None => None,
            });
        }
        if answers.iter().all(Option::is_some) {
            return Ok(answers);
        }
        // Other requests have the remaining keys. A second statement reads which, because the first one does not see what
        // was committed while it ran. If it fails, the keys that were taken stay taken, and the remaining writes run again.
        let parameters: Parameters<'_> = &[
            ("accounts", &distinct(&account_ids)),
            ("account_id", &account_ids),
            ("operation", &operations),
            ("idempotency_key", &keys),
        ];
        let Ok(found) = session.query_named(FIND, parameters).await else {
            return Ok(answers);
        };
        for row in found {
            let position = rows::get::<i64>(&row, "position")?;
            let index = usize::try_from(position - 1).unwrap_or_default();
            if let (Some(write), Some(answer @ None)) = (writes.get(index), answers.get_mut(index)) {
                *answer = Some(Ok(write.refused_by(&row)?));
            }
        }
        // A write whose record was deleted in between runs again, alone.
        Ok(answers)
    }
}

impl Reserve {
    fn reservation(&self, attempt: u64) -> Reservation {
        Reservation { operation: self.request.operation, key: self.request.key.clone(), attempt }
    }

    /// The answer if the stored record did not give the key away.
    fn refused_by(&self, row: &Row) -> Result<Reserved, PgError> {
        let answer: Option<Vec<u8>> = rows::get(row, "answer")?;
        let is_ours = rows::get::<Option<&[u8]>>(row, "operation_id")?
            .is_some_and(|id| id == self.request.operation_id.0);
        Ok(match answer {
            // An earlier try of this very attempt, whose answer was lost.
            None if is_ours => Reserved::Acquired(self.reservation(rows::count(row, "attempt")?)),
            _ if !self.request.is_of_body(&RequestMac(rows::bytes(row, "request_mac")?)) => {
                Reserved::BodyMismatch
            }
            Some(answer) => Reserved::Completed(StoredResponse(answer)),
            None => Reserved::InProgress,
        })
    }
}

/// Releases a reservation without a result. The row stays until it is swept, so that the attempts continue to count up.
pub(super) struct Release {
    account: AccountId,
    reservation: Reservation,
    at: Timestamp,
    clock: Clock,
}

impl BatchWrite for Release {
    type Key = RecordKey;

    fn key(&self) -> Self::Key {
        let Reservation { operation, key, .. } = &self.reservation;
        (self.account.clone(), operation.as_str(), key.as_str().to_owned())
    }

    fn account(&self) -> &AccountId {
        &self.account
    }
}

#[async_trait]
impl Write for Release {
    type Answer = ();

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError> {
        let account_ids = column(writes, |write| write.account.as_str());
        let parameters: Parameters<'_> = &[
            ("accounts", &distinct(&account_ids)),
            ("account_id", &account_ids),
            ("operation", &column(writes, |write| write.reservation.operation.as_str())),
            ("idempotency_key", &column(writes, |write| write.reservation.key.as_str())),
            ("attempt", &column(writes, |write| rows::stored_count(write.reservation.attempt))),
            ("now", &column(writes, |write| write.clock.or_the_servers(write.at))),
        ];
        session.query_named(RELEASE, parameters).await?;
        Ok(writes.iter().map(|_| Some(Ok(()))).collect())
    }
}

/// Deletes records that ended a day ago.
struct DeleteEnded {
    now: Timestamp,
    limit: u32,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for DeleteEnded {
    type Answer = usize;

    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, PgError> {
        let Self { now, limit, clock } = self;
        let parameters: Parameters<'_> = &[
            ("now", &clock.or_the_servers(*now)),
            ("kept_micros", &KEPT_MICROS),
            ("limit", &i64::from(*limit)),
        ];
        Ok(Ok(session.query_named(DELETE_ENDED, parameters).await?.len()))
    }
}
