-- name: announce_to_endpoints
-- One delivery for each enabled endpoint that receives the event.
INSERT INTO webhook_deliveries (
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, body, body_mac, receiver,
    status, attempts, due_at, fence)
SELECT
    e.account_id, :audit_event_id || '-' || e.endpoint_id, e.endpoint_id, :job_id, :event_id, :event_type, :at,
    :body, :body_mac, e.endpoint_id, 'waiting', 0, :at, 0
FROM webhook_endpoints AS e
WHERE e.account_id = :account_id
    AND e.is_enabled
    AND CASE
        WHEN :only_id IS NOT NULL THEN e.endpoint_id = :only_id
        ELSE e.endpoint_id IS NOT :except_id AND (e.events IS NULL OR e.events & :event_bit <> 0)
    END;

-- name: announce_to_operator
INSERT INTO webhook_deliveries (
    account_id, delivery_id, job_id, event_id, event_type, created_at, body, body_mac, receiver, status, attempts,
    due_at, fence)
VALUES (
    :account_id, :audit_event_id || '-operator', :job_id, :event_id, :event_type, :at, :body, :body_mac,
    'operator', 'waiting', 0, :at, 0);

-- name: insert_job_delivery
INSERT INTO webhook_deliveries (
    account_id, delivery_id, job_id, event_id, event_type, created_at, receiver, status, attempts, due_at, fence)
VALUES (
    :account_id, :delivery_id, :job_id, :event_id, :event_type, :now, :receiver, 'waiting', 0, :now, 0);

-- name: insert_delivery_secret
INSERT INTO webhook_delivery_secrets (account_id, delivery_id, sealing_key_id, envelope)
VALUES (:account_id, :delivery_id, :sealing_key_id, :envelope);

-- name: delete_delivery_secret
DELETE FROM webhook_delivery_secrets
WHERE account_id = :account_id
    AND delivery_id = :delivery_id
RETURNING sealing_key_id;

-- name: find_delivery_secret
-- A missing sealing key is read as a wiped one: the secret is there and cannot be decrypted.
SELECT s.envelope, coalesce(k.wrapped_key, zeroblob(60)) AS wrapped_key
FROM webhook_delivery_secrets AS s
LEFT JOIN sealing_keys AS k USING (sealing_key_id)
WHERE s.account_id = :account_id
    AND s.delivery_id = :delivery_id;

-- name: find_next_receiver
-- The next receiver for which deliveries wait. A comparison of both columns at once would read all deliveries of the one
-- before it.
SELECT account_id, receiver
FROM (
    SELECT account_id, receiver
    FROM (
        SELECT account_id, receiver
        FROM webhook_deliveries
        WHERE due_at IS NOT NULL
            AND account_id = :account_id
            AND receiver > :receiver
        ORDER BY receiver
        LIMIT 1)
    UNION ALL
    SELECT account_id, receiver
    FROM (
        SELECT account_id, receiver
        FROM webhook_deliveries
        WHERE due_at IS NOT NULL
            AND account_id > :account_id
        ORDER BY account_id, receiver
        LIMIT 1))
ORDER BY account_id, receiver
LIMIT 1;

-- name: list_due_deliveries_of_receiver
SELECT delivery_id, fence, attempts, due_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND receiver = :receiver
    AND due_at <= :now
    AND (lease_until IS NULL OR lease_until <= :now)
ORDER BY due_at, delivery_id
LIMIT :limit;

-- name: find_next_due_of_receiver
SELECT due_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND receiver = :receiver
    AND due_at > :now
ORDER BY due_at
LIMIT 1;

-- name: lease_delivery
UPDATE webhook_deliveries SET
    fence = fence + 1,
    lease_until = :lease_until
WHERE account_id = :account_id
    AND delivery_id = :delivery_id
    AND fence = :fence
    AND due_at <= :now
    AND (lease_until IS NULL OR lease_until <= :now);

-- name: find_leased_delivery
SELECT
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, status, attempts,
    last_attempt_at, last_result, last_status, last_duration_ms, due_at, ended_at, receiver, fence, body, body_mac
FROM webhook_deliveries
WHERE account_id = :account_id
    AND delivery_id = :delivery_id;

-- name: finish_delivery
UPDATE webhook_deliveries SET
    status = :status,
    attempts = :attempts,
    last_attempt_at = :last_attempt_at,
    last_result = :last_result,
    last_status = :last_status,
    last_duration_ms = :last_duration_ms,
    due_at = :due_at,
    ended_at = :ended_at,
    lease_until = NULL
WHERE account_id = :account_id
    AND delivery_id = :delivery_id
    AND fence = :fence
RETURNING endpoint_id;

-- name: find_delivery
SELECT
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, status, attempts,
    last_attempt_at, last_result, last_status, last_duration_ms, due_at, ended_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND delivery_id = :delivery_id;

-- name: list_deliveries
SELECT
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, status, attempts,
    last_attempt_at, last_result, last_status, last_duration_ms, due_at, ended_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND delivery_id < :before
    AND receiver <> 'operator'
    AND (:status = '' OR status = :status)
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: list_deliveries_of_endpoint
SELECT
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, status, attempts,
    last_attempt_at, last_result, last_status, last_duration_ms, due_at, ended_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND endpoint_id = :endpoint_id
    AND delivery_id < :before
    AND (:status = '' OR status = :status)
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: list_deliveries_of_job
SELECT
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, status, attempts,
    last_attempt_at, last_result, last_status, last_duration_ms, due_at, ended_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND job_id = :job_id
    AND delivery_id < :before
    AND receiver <> 'operator'
    AND (:endpoint_id = '' OR endpoint_id = :endpoint_id)
    AND (:status = '' OR status = :status)
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: redeliver_webhook
-- The lease is taken from the worker that has it.
UPDATE webhook_deliveries SET
    status = 'waiting',
    attempts = 0,
    due_at = :now,
    ended_at = NULL,
    fence = fence + 1,
    lease_until = NULL
WHERE account_id = :account_id
    AND delivery_id = :delivery_id
    AND CASE
        WHEN endpoint_id IS NULL THEN EXISTS (
            SELECT 1
            FROM webhook_delivery_secrets AS s
            WHERE s.account_id = :account_id
                AND s.delivery_id = :delivery_id)
        ELSE EXISTS (
            SELECT 1
            FROM webhook_endpoints AS e
            WHERE e.account_id = :account_id
                AND e.endpoint_id = webhook_deliveries.endpoint_id
                AND e.is_enabled)
    END;

-- name: count_waiting_deliveries
SELECT count(*) AS count, min(due_at) AS earliest_due_at
FROM webhook_deliveries
WHERE due_at IS NOT NULL;

-- In the next three: an account's first deliveries, and the first that are sealed.

-- name: wipe_delivery_secrets_of_account
UPDATE sealing_keys SET
    wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT sealing_key_id
    FROM webhook_delivery_secrets
    WHERE account_id = :account_id
    ORDER BY delivery_id
    LIMIT :limit);

-- name: delete_delivery_secrets_of_account
DELETE FROM webhook_delivery_secrets
WHERE rowid IN (
    SELECT rowid
    FROM webhook_delivery_secrets
    WHERE account_id = :account_id
    ORDER BY delivery_id
    LIMIT :limit);

-- name: delete_deliveries_of_account
DELETE FROM webhook_deliveries
WHERE rowid IN (
    SELECT rowid
    FROM webhook_deliveries
    WHERE account_id = :account_id
    ORDER BY delivery_id
    LIMIT :limit);
