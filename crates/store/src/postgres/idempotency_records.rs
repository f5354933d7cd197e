//! Idempotency records: a key is reserved, completed together with the effect, and forgotten in the end. Everything by
//! the database's own clock, so that a node whose clock is off neither takes a key from another one nor keeps one.

use async_trait::async_trait;
use domain::id::AccountId;
use domain::idempotency::{
    ANSWER_KEPT_SECONDS, KeptAnswer, OnceRequest, RESERVATION_SECONDS, Reservation, Reserved,
};
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::clock::{Clock, clock};
use super::sessions::{Parameters, Session};
use super::trouble::Trouble;
use super::writes::{Answers, LoneWrite, SharedWrite, Write};
use super::{Postgres, rows};
use crate::{Error, Idempotency};

#[async_trait]
impl Idempotency for Postgres {
    async fn reserve_idempotency_key(
        &self,
        account: &AccountId,
        request: &OnceRequest,
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

const MICROS: i64 = 1_000_000;

/// Reserves a key, or says what became of the request that has it.
pub(super) struct Reserve {
    pub(super) account: AccountId,
    pub(super) request: OnceRequest,
    pub(super) clock: Clock,
}

/// Takes each key that is new or free. `$7` and `$8`: for how long a reservation and an answer are kept.
pub(super) const RESERVE: &str = concat!(
    "WITH given AS (
        SELECT account_id, operation, idempotency_key, request_mac, operation_id, ",
    clock!("now"),
    " AS now, position
        FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[])
            WITH ORDINALITY AS given (account_id, operation, idempotency_key, request_mac, operation_id, now, position)),
    active AS (
        SELECT g.position FROM given g WHERE EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = g.account_id)),
    taken AS (
        INSERT INTO idempotency_records AS r
            (account_id, operation, idempotency_key, attempt, request_mac, reserved_until, operation_id)
        SELECT account_id, operation, idempotency_key, 1, request_mac, now + $7::bigint, operation_id
        FROM given JOIN active USING (position)
        ORDER BY account_id COLLATE \"C\", operation COLLATE \"C\", idempotency_key COLLATE \"C\"
        ON CONFLICT (account_id, operation, idempotency_key) DO UPDATE
        SET attempt = r.attempt + 1, request_mac = excluded.request_mac, reserved_until = excluded.reserved_until,
            operation_id = excluded.operation_id, is_released = false, answered_at = NULL, answer = NULL
        WHERE CASE WHEN r.answered_at IS NULL
            THEN r.is_released OR r.reserved_until <= excluded.reserved_until - $7::bigint
            ELSE r.answered_at <= excluded.reserved_until - $7::bigint - $8::bigint END
        RETURNING operation_id, attempt)
    SELECT active.position IS NOT NULL AS is_active, taken.attempt
    FROM given LEFT JOIN active USING (position) LEFT JOIN taken USING (operation_id) ORDER BY given.position"
);

pub(super) const FIND: &str = "SELECT r.attempt, r.request_mac, r.operation_id, r.answer, given.position
    FROM unnest($1::text[], $2::text[], $3::text[])
        WITH ORDINALITY AS given (account_id, operation, idempotency_key, position)
    JOIN idempotency_records r USING (account_id, operation, idempotency_key)";

impl SharedWrite for Reserve {
    type Key = (AccountId, &'static str, String);

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

    // The record knows which attempt has it, so that it needs no event.
    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble> {
        let accounts: Vec<_> = writes.iter().map(|write| write.account.as_str()).collect();
        let operations: Vec<_> = writes.iter().map(|write| write.request.operation.as_str()).collect();
        let keys: Vec<_> = writes.iter().map(|write| write.request.key.as_str()).collect();
        let macs: Vec<_> = writes.iter().map(|write| write.request.mac.0.as_slice()).collect();
        let ids: Vec<_> = writes.iter().map(|write| write.request.operation_id.0.as_slice()).collect();
        let now: Vec<_> = writes.iter().map(|write| write.clock.or_the_servers(write.request.at)).collect();
        let (reserved, kept) = (RESERVATION_SECONDS * MICROS, ANSWER_KEPT_SECONDS * MICROS);
        let parameters: Parameters<'_> =
            &[&accounts, &operations, &keys, &macs, &ids, &now, &reserved, &kept];
        let taken = session.query(RESERVE, parameters).await?;
        let mut answers: Answers<Self> = Vec::new();
        for (write, row) in writes.iter().zip(&taken) {
            let attempt: Option<i64> = rows::get(row, "attempt")?;
            answers.push(match attempt {
                _ if !rows::get::<bool>(row, "is_active")? => Some(Err(Error::KeyNotActive)),
                Some(_) => Some(Ok(Reserved::Now(write.reservation(rows::count(row, "attempt")?)))),
                None => None,
            });
        }
        if answers.iter().all(Option::is_some) {
            return Ok(answers);
        }
        // The others belong to somebody: to whom, is seen by a look of its own, after they were refused.
        // Who took a key just now keeps it, also if that look fails: the others are asked again.
        let Ok(found) = session.query(FIND, &[&accounts, &operations, &keys]).await else {
            return Ok(answers);
        };
        for row in found {
            let place = rows::get::<i64>(&row, "position")?;
            let place = usize::try_from(place - 1).unwrap_or_default();
            if let (Some(write), Some(answer @ None)) = (writes.get(place), answers.get_mut(place)) {
                *answer = Some(Ok(write.refused_by(&row)?));
            }
        }
        // Whose record went in between is asked for once more, alone.
        Ok(answers)
    }
}

impl Reserve {
    fn reservation(&self, attempt: u64) -> Reservation {
        Reservation { operation: self.request.operation, key: self.request.key.clone(), attempt }
    }

    fn refused_by(&self, row: &Row) -> Result<Reserved, Trouble> {
        let answer: Option<Vec<u8>> = rows::get(row, "answer")?;
        let is_ours = rows::get::<Option<&[u8]>>(row, "operation_id")?
            .is_some_and(|id| id == self.request.operation_id.0);
        Ok(match answer {
            // An earlier try of this very attempt, whose answer was lost on the way.
            None if is_ours => Reserved::Now(self.reservation(rows::count(row, "attempt")?)),
            _ if rows::bytes::<32>(row, "request_mac")? != self.request.mac.0 => Reserved::OtherBody,
            Some(answer) => Reserved::Done(KeptAnswer(answer)),
            None => Reserved::InUse,
        })
    }
}

/// Ends a reservation that led to nothing. The row stays until it is swept, so that the count of attempts goes on.
pub(super) struct Release {
    pub(super) account: AccountId,
    pub(super) reservation: Reservation,
    pub(super) at: Timestamp,
    pub(super) clock: Clock,
}

pub(super) const RELEASE: &str = concat!(
    "WITH given AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
        AS given (account_id, operation, idempotency_key, attempt, now)),
    locked AS (
        SELECT r.account_id, r.operation, r.idempotency_key, given.now
        FROM idempotency_records r JOIN given USING (account_id, operation, idempotency_key)
        WHERE r.attempt = given.attempt AND r.answer IS NULL
        ORDER BY r.account_id, r.operation, r.idempotency_key FOR UPDATE OF r)
    UPDATE idempotency_records r SET is_released = true, reserved_until = least(r.reserved_until, ",
    clock!("locked.now"),
    ") FROM locked
    WHERE r.account_id = locked.account_id AND r.operation = locked.operation
        AND r.idempotency_key = locked.idempotency_key"
);

impl SharedWrite for Release {
    type Key = (AccountId, &'static str, String);

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

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble> {
        let accounts: Vec<_> = writes.iter().map(|write| write.account.as_str()).collect();
        let operations: Vec<_> = writes.iter().map(|write| write.reservation.operation.as_str()).collect();
        let keys: Vec<_> = writes.iter().map(|write| write.reservation.key.as_str()).collect();
        let attempts: Vec<_> =
            writes.iter().map(|write| rows::stored_count(write.reservation.attempt)).collect();
        let now: Vec<_> = writes.iter().map(|write| write.clock.or_the_servers(write.at)).collect();
        session.query(RELEASE, &[&accounts, &operations, &keys, &attempts, &now]).await?;
        Ok(writes.iter().map(|_| Some(Ok(()))).collect())
    }
}

/// Forgets what ended a day ago, at most so many.
pub(super) struct DeleteEnded {
    pub(super) now: Timestamp,
    pub(super) limit: u32,
    pub(super) clock: Clock,
}

/// Locked before they go: a record that was taken over meanwhile has not ended any more.
pub(super) const DELETE_ENDED: &str = concat!(
    "WITH ended AS (
        SELECT account_id, operation, idempotency_key FROM idempotency_records
        WHERE reserved_until <= ",
    clock!("$1"),
    " - $2::bigint AND coalesce(answered_at, reserved_until) <= ",
    clock!("$1"),
    " - $2::bigint
        ORDER BY reserved_until LIMIT $3 FOR UPDATE)
    DELETE FROM idempotency_records r USING ended
    WHERE r.account_id = ended.account_id AND r.operation = ended.operation
        AND r.idempotency_key = ended.idempotency_key
    RETURNING r.idempotency_key"
);

#[async_trait]
impl LoneWrite for DeleteEnded {
    type Answer = usize;

    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, Trouble> {
        let Self { now, limit, clock } = self;
        let parameters: Parameters<'_> =
            &[&clock.or_the_servers(*now), &(ANSWER_KEPT_SECONDS * MICROS), &i64::from(*limit)];
        Ok(Ok(session.query(DELETE_ENDED, parameters).await?.len()))
    }
}
