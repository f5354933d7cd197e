//! Parts of the statements on jobs. Those become whole statements in `sql/` with the redesign of the upload engine; this file
//! goes with them.

/// Now: the given instant, or the server's clock.
macro_rules! clock {
    ($given:literal) => {
        concat!("coalesce(", $given, "::bigint, (extract(epoch FROM now()) * 1000000)::bigint)")
    };
}
pub(super) use clock;

/// The rows of `given` whose actor may act: an API key while it is active by the database's clock, the operator while the
/// account exists. `given` has `position`, `account_id`, `api_key_id`, and `now` if the clock is not the database's.
macro_rules! active {
    () => {
        concat!(
            "active AS (
                SELECT g.position FROM given g
                WHERE CASE WHEN g.api_key_id IS NULL
                    THEN EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = g.account_id)
                    ELSE EXISTS (SELECT 1 FROM api_keys k
                        WHERE k.account_id = g.account_id AND k.api_key_id = g.api_key_id AND k.revoked_at IS NULL
                            AND (k.expires_at IS NULL OR k.expires_at > ",
            $crate::postgres::job_fragments::clock!("g.now"),
            ")) END)"
        )
    };
}
pub(super) use active;

/// The start of a statement that writes at most one event, and only if its actor may act: `given`, for `active!` and
/// [`log_given!`]. The event's columns are its first parameters, and `$9` is the instant if the clock is not the database's.
macro_rules! given_event {
    () => {
        "WITH given AS (
            SELECT given.*, $9::bigint AS now FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[],
                $6::text[], $7::text[], $8::text[]) WITH ORDINALITY
                AS given (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal, position))"
    };
}
pub(super) use given_event;

/// Writes the event that is `given`, if a part of the statement wrote a row.
macro_rules! log_given {
    ($effect:literal) => {
        concat!(
            "logged AS (
                INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
                SELECT account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal
                FROM given WHERE EXISTS (SELECT FROM ",
            $effect,
            "))"
        )
    };
}
pub(super) use log_given;
