-- name: insert_webhook_secret
INSERT INTO webhook_secrets (account_id, secret_id, created_at, sealing_key_id, envelope)
VALUES (:account_id, :secret_id, :created_at, :sealing_key_id, :envelope);

-- name: retire_webhook_secret
UPDATE webhook_secrets SET retires_at = :retires_at
WHERE account_id = :account_id
    AND retires_at IS NULL;

-- name: wipe_retired_webhook_secrets
UPDATE sealing_keys SET wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT sealing_key_id
    FROM webhook_secrets
    WHERE account_id = :account_id
        AND retires_at IS NOT NULL);

-- name: delete_retired_webhook_secrets
DELETE FROM webhook_secrets
WHERE account_id = :account_id
    AND retires_at IS NOT NULL;

-- name: list_webhook_secrets
-- The newest and its predecessor. An earlier version may have left more, which no longer sign anything.
-- A sealing key that is missing reads as one that was wiped: the row is there and does not decrypt.
SELECT secret_id, created_at, envelope, coalesce(wrapped_key, zeroblob(60)) AS wrapped_key
FROM webhook_secrets
LEFT JOIN sealing_keys USING (sealing_key_id)
WHERE account_id = :account_id
    AND (retires_at IS NULL OR retires_at > :now)
ORDER BY retires_at IS NULL DESC, created_at DESC, secret_id DESC
LIMIT 2;

-- name: wipe_webhook_secrets_of_account
UPDATE sealing_keys SET wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT sealing_key_id
    FROM webhook_secrets
    WHERE account_id = :account_id
    ORDER BY secret_id
    LIMIT :limit);

-- name: delete_webhook_secrets_of_account
DELETE FROM webhook_secrets
WHERE rowid IN (
    SELECT rowid
    FROM webhook_secrets
    WHERE account_id = :account_id
    ORDER BY secret_id
    LIMIT :limit);
