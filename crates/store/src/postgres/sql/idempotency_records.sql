-- Array parameters have one element for each record, except for :accounts, which has each account once. Instants come from
-- the server's clock, unless :now has one.

-- name: reserve_keys
-- Takes each key that is new or free, and returns one row for each, in the order of the arrays.
WITH input AS (
    SELECT
        account_id, operation, idempotency_key, request_mac, operation_id,
        coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now, position
    FROM unnest(
        :account_id::text[], :operation::text[], :idempotency_key::text[], :request_mac::bytea[],
        :operation_id::bytea[], :now::bigint[])
        WITH ORDINALITY AS input (
            account_id, operation, idempotency_key, request_mac,
            operation_id, now, position)
), active AS (
    SELECT input.position
    FROM input
    WHERE EXISTS (SELECT 1 FROM accounts AS a WHERE a.account_id = input.account_id)
), taken AS (
    INSERT INTO idempotency_records AS r (
        account_id, operation, idempotency_key, attempt, request_mac, reserved_until, operation_id)
    SELECT
        account_id, operation, idempotency_key, 1, request_mac, now + :reservation_micros::bigint, operation_id
    FROM input
    JOIN active USING (position)
    ORDER BY account_id COLLATE "C", operation COLLATE "C", idempotency_key COLLATE "C"
    ON CONFLICT (account_id, operation, idempotency_key) DO UPDATE SET
        attempt = r.attempt + 1,
        request_mac = excluded.request_mac,
        reserved_until = excluded.reserved_until,
        operation_id = excluded.operation_id,
        is_released = false,
        answered_at = NULL,
        answer = NULL
    WHERE CASE
        WHEN r.answered_at IS NULL
            THEN r.is_released OR r.reserved_until <= excluded.reserved_until - :reservation_micros::bigint
        ELSE r.answered_at <= excluded.reserved_until - :reservation_micros::bigint - :kept_micros::bigint
        END
    RETURNING operation_id, attempt
)
SELECT active.position IS NOT NULL AS is_active, taken.attempt
FROM input
LEFT JOIN active USING (position)
LEFT JOIN taken USING (operation_id)
ORDER BY input.position;

-- name: find_records
SELECT r.attempt, r.request_mac, r.operation_id, r.answer, input.position
FROM unnest(:account_id::text[], :operation::text[], :idempotency_key::text[])
    WITH ORDINALITY AS input (account_id, operation, idempotency_key, position)
JOIN idempotency_records AS r
    ON r.account_id = input.account_id
    AND r.operation = input.operation
    AND r.idempotency_key = input.idempotency_key
WHERE r.account_id = ANY (:accounts::text[]);

-- name: release_keys
WITH input AS (
    SELECT
        account_id, operation, idempotency_key, attempt,
        coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now
    FROM unnest(
        :account_id::text[], :operation::text[], :idempotency_key::text[], :attempt::bigint[], :now::bigint[])
        AS input (account_id, operation, idempotency_key, attempt, now)
), locked AS (
    SELECT account_id, operation, idempotency_key, now
    FROM (
        SELECT r.account_id, r.operation, r.idempotency_key, input.now
        FROM idempotency_records AS r
        JOIN input
            ON r.account_id = input.account_id
            AND r.operation = input.operation
            AND r.idempotency_key = input.idempotency_key
            AND r.attempt = input.attempt
        WHERE r.account_id = ANY (:accounts::text[])
            AND r.answer IS NULL
        ORDER BY r.account_id, r.operation, r.idempotency_key
        FOR UPDATE OF r) AS ordered
)
UPDATE idempotency_records AS r SET
    is_released = true,
    reserved_until = least(r.reserved_until, locked.now)
FROM locked
WHERE r.account_id = ANY (:accounts::text[])
    AND r.account_id = locked.account_id
    AND r.operation = locked.operation
    AND r.idempotency_key = locked.idempotency_key;

-- name: delete_ended_records
-- Without a lock before the deletion, which repeats the condition: a record that was reserved again meanwhile stays.
WITH clock AS (
    SELECT
        coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) - :kept_micros::bigint AS ended_before
), ended AS MATERIALIZED (
    SELECT r.account_id, r.operation, r.idempotency_key, clock.ended_before
    FROM idempotency_records AS r
    CROSS JOIN clock
    WHERE r.reserved_until <= clock.ended_before
        AND coalesce(r.answered_at, r.reserved_until) <= clock.ended_before
    ORDER BY r.reserved_until
    LIMIT :limit
)
DELETE FROM idempotency_records AS r
USING ended
WHERE r.account_id = ended.account_id
    AND r.operation = ended.operation
    AND r.idempotency_key = ended.idempotency_key
    AND r.reserved_until <= ended.ended_before
    AND coalesce(r.answered_at, r.reserved_until) <= ended.ended_before
RETURNING r.idempotency_key;
