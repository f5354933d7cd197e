-- name: find_api_key
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
    created_by, rotated_from, last_used_at
FROM api_keys
WHERE api_key_id = :api_key_id;

-- name: find_api_key_by_hash
-- With the limits of its account.
SELECT
    k.api_key_id, k.account_id, k.name, k.key_hash, k.last_four, k.created_at, k.expires_at, k.revoked_at, k.row_mac,
    k.scopes, k.created_by, k.rotated_from, k.last_used_at,
    a.max_requests_per_minute, a.max_key_requests_per_minute, a.max_connections, a.max_jobs_in_progress,
    a.max_idempotency_records, a.max_event_streams, a.max_webhook_endpoints,
    a.max_open_authorizations
FROM api_keys AS k
JOIN accounts AS a ON a.account_id = k.account_id
WHERE k.key_hash = :key_hash;

-- name: inspect_api_key_by_hash
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
    created_by, rotated_from, last_used_at
FROM api_keys
WHERE key_hash = :key_hash;

-- name: inspect_api_key_without_scopes
-- The same in a database of a schema before 10.
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, NULL AS scopes,
    NULL AS created_by, NULL AS rotated_from, NULL AS last_used_at
FROM api_keys
WHERE key_hash = :key_hash;

-- name: list_api_keys
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
    created_by, rotated_from, last_used_at
FROM api_keys
WHERE account_id = :account_id
ORDER BY created_at, api_key_id;

-- name: api_key_is_active
SELECT EXISTS (
    SELECT 1
    FROM api_keys
    WHERE account_id = :account_id
        AND api_key_id = :api_key_id
        AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > :now));

-- name: list_api_key_page
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
    created_by, rotated_from, last_used_at
FROM api_keys
WHERE account_id = :account_id
    AND (created_at, api_key_id) > (:after_created_at, :after_api_key_id)
ORDER BY created_at, api_key_id
LIMIT :limit;

-- name: another_api_key_may_manage
-- One that expires earlier does not count.
SELECT EXISTS (
    SELECT 1
    FROM api_keys
    WHERE account_id = :account_id
        AND api_key_id <> :api_key_id
        AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at >= :expires_at)
        AND (scopes IS NULL OR instr(scopes, :managing_scope) > 0));

-- name: insert_api_key
INSERT INTO api_keys (
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
    created_by, rotated_from)
VALUES (
    :api_key_id, :account_id, :name, :key_hash, :last_four, :created_at, :expires_at, :revoked_at, :row_mac, :scopes,
    :created_by, :rotated_from)
ON CONFLICT (key_hash) DO NOTHING;

-- name: update_api_key
-- Not if the successor exists: it was made by the same request before.
UPDATE api_keys SET
    name = :name,
    expires_at = :expires_at,
    revoked_at = :revoked_at,
    row_mac = :row_mac
WHERE account_id = :account_id
    AND api_key_id = :api_key_id
    AND row_mac = :expected_row_mac
    AND NOT EXISTS (
        SELECT 1
        FROM api_keys AS n
        WHERE n.key_hash = :new_key_hash);

-- name: update_api_key_use
UPDATE api_keys SET last_used_at = :last_used_at
WHERE api_key_id = :api_key_id
    AND (last_used_at IS NULL OR last_used_at < :last_used_at);

-- name: delete_api_keys
DELETE FROM api_keys
WHERE account_id = :account_id;
