-- A sealing key that is missing reads as one that was wiped: the row is there and does not decrypt.

-- name: find_webhook_endpoint
SELECT
    account_id, endpoint_id, created_at, updated_at, version, events, is_enabled, disabled_reason, failing_since,
    envelope, coalesce(wrapped_key, zeroblob(60)) AS wrapped_key
FROM webhook_endpoints
LEFT JOIN sealing_keys USING (sealing_key_id)
WHERE account_id = :account_id
    AND endpoint_id = :endpoint_id;

-- name: list_webhook_endpoints
SELECT
    account_id, endpoint_id, created_at, updated_at, version, events, is_enabled, disabled_reason, failing_since,
    envelope, coalesce(wrapped_key, zeroblob(60)) AS wrapped_key
FROM webhook_endpoints
LEFT JOIN sealing_keys USING (sealing_key_id)
WHERE account_id = :account_id
    AND endpoint_id > :after
ORDER BY endpoint_id
LIMIT :limit;

-- name: find_guarded_endpoint_columns
SELECT version, failing_since, sealing_key_id
FROM webhook_endpoints
WHERE account_id = :account_id
    AND endpoint_id = :endpoint_id;

-- name: insert_webhook_endpoint
INSERT INTO webhook_endpoints (
    account_id, endpoint_id, created_at, updated_at, version, events, is_enabled, disabled_reason, failing_since,
    sealing_key_id, envelope)
VALUES (
    :account_id, :endpoint_id, :created_at, :updated_at, :version, :events, :is_enabled, :disabled_reason,
    :failing_since, :sealing_key_id, :envelope);

-- name: update_webhook_endpoint
UPDATE webhook_endpoints SET
    updated_at = :updated_at,
    version = :version,
    events = :events,
    is_enabled = :is_enabled,
    disabled_reason = :disabled_reason,
    failing_since = CASE WHEN NOT :clears_failing THEN failing_since END,
    sealing_key_id = :sealing_key_id,
    envelope = :envelope
WHERE account_id = :account_id
    AND endpoint_id = :endpoint_id;

-- name: delete_webhook_endpoint
DELETE FROM webhook_endpoints
WHERE account_id = :account_id
    AND endpoint_id = :endpoint_id;

-- name: mark_endpoint_failing
UPDATE webhook_endpoints SET
    failing_since = :at
WHERE account_id = :account_id
    AND endpoint_id = :endpoint_id
    AND failing_since IS NULL;

-- name: mark_endpoint_working
UPDATE webhook_endpoints SET
    failing_since = NULL
WHERE account_id = :account_id
    AND endpoint_id = :endpoint_id
    AND failing_since IS NOT NULL;

-- name: wipe_webhook_endpoints_of_account
UPDATE sealing_keys SET
    wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT sealing_key_id
    FROM webhook_endpoints
    WHERE account_id = :account_id
    ORDER BY endpoint_id
    LIMIT :limit);

-- name: delete_webhook_endpoints_of_account
DELETE FROM webhook_endpoints
WHERE rowid IN (
    SELECT rowid
    FROM webhook_endpoints
    WHERE account_id = :account_id
    ORDER BY endpoint_id
    LIMIT :limit);
