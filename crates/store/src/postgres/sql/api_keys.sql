-- name: find_api_key
SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac
FROM api_keys
WHERE api_key_id = :api_key_id;

-- name: find_api_key_by_hash
-- With the instant of the lookup: the server's clock, unless the caller passes its own.
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac,
    coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS looked_at
FROM api_keys
WHERE key_hash = :key_hash;

-- name: inspect_api_key_by_hash
SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac
FROM api_keys
WHERE key_hash = :key_hash;

-- name: list_api_keys
SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac
FROM api_keys
WHERE account_id = :account_id
ORDER BY created_at, api_key_id;

-- name: insert_api_key
WITH inserted AS (
    INSERT INTO api_keys (
        api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac)
    VALUES (
        :api_key_id, :account_id, :name, :key_hash, :last_four, :created_at, :expires_at, :revoked_at, :row_mac)
    ON CONFLICT (key_hash) DO NOTHING
    RETURNING account_id
), logged AS (
    INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM inserted
)
SELECT count(*) AS written
FROM inserted;

-- name: revoke_api_key
WITH revoked AS (
    UPDATE api_keys SET
        revoked_at = :revoked_at,
        row_mac = :row_mac
    WHERE account_id = :account_id
        AND api_key_id = :api_key_id
        AND row_mac = :expected_row_mac
    RETURNING account_id
), logged AS (
    INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM revoked
)
SELECT count(*) AS written
FROM revoked;
