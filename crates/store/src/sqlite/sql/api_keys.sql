-- name: find_api_key
SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac
FROM api_keys
WHERE api_key_id = :api_key_id;

-- name: find_api_key_by_hash
SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac
FROM api_keys
WHERE key_hash = :key_hash;

-- name: list_api_keys
SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac
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

-- name: insert_api_key
INSERT INTO api_keys (
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac)
VALUES (
    :api_key_id, :account_id, :name, :key_hash, :last_four, :created_at, :expires_at, :revoked_at, :row_mac)
ON CONFLICT (key_hash) DO NOTHING;

-- name: revoke_api_key
UPDATE api_keys SET
    revoked_at = :revoked_at,
    row_mac = :row_mac
WHERE account_id = :account_id
    AND api_key_id = :api_key_id
    AND row_mac = :expected_row_mac;

-- name: delete_api_keys
DELETE FROM api_keys
WHERE account_id = :account_id;
