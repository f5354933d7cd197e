-- name: find_record
SELECT attempt, request_mac, reserved_until, is_released, answered_at, answer
FROM idempotency_records
WHERE account_id = :account_id
    AND operation = :operation
    AND idempotency_key = :idempotency_key;

-- name: reservation_is_held
SELECT EXISTS (
    SELECT 1
    FROM idempotency_records
    WHERE account_id = :account_id
        AND operation = :operation
        AND idempotency_key = :idempotency_key
        AND attempt = :attempt
        AND answer IS NULL
        AND is_released = 0);

-- name: insert_record
INSERT INTO idempotency_records (
    account_id, operation, idempotency_key, attempt, request_mac, reserved_until, operation_id)
VALUES (:account_id, :operation, :idempotency_key, 1, :request_mac, :reserved_until, :operation_id);

-- name: take_over_record
UPDATE idempotency_records SET
    attempt = :attempt,
    request_mac = :request_mac,
    reserved_until = :reserved_until,
    operation_id = :operation_id,
    is_released = 0,
    answered_at = NULL,
    answer = NULL
WHERE account_id = :account_id
    AND operation = :operation
    AND idempotency_key = :idempotency_key;

-- name: complete_record
UPDATE idempotency_records SET
    answered_at = :answered_at,
    answer = :answer
WHERE account_id = :account_id
    AND operation = :operation
    AND idempotency_key = :idempotency_key
    AND attempt = :attempt;

-- name: release_record
UPDATE idempotency_records SET
    reserved_until = min(reserved_until, :now),
    is_released = 1
WHERE account_id = :account_id
    AND operation = :operation
    AND idempotency_key = :idempotency_key
    AND attempt = :attempt
    AND answer IS NULL;

-- name: delete_ended_records
DELETE FROM idempotency_records
WHERE rowid IN (
    SELECT rowid
    FROM idempotency_records
    WHERE reserved_until <= :ended_before
        AND coalesce(answered_at, reserved_until) <= :ended_before
    LIMIT :limit);

-- name: delete_records_of_account
DELETE FROM idempotency_records
WHERE rowid IN (
    SELECT rowid
    FROM idempotency_records
    WHERE account_id = :account_id
    ORDER BY operation, idempotency_key
    LIMIT :limit);
