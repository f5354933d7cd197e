-- name: list_idempotency_records
SELECT operation, idempotency_key, reserved_until, answered_at
FROM idempotency_records
WHERE account_id = :account_id
    AND (operation, idempotency_key) > (:operation, :idempotency_key)
ORDER BY operation, idempotency_key
LIMIT :limit;

-- name: list_webhook_secret_dates
SELECT created_at, retires_at
FROM webhook_secrets
WHERE account_id = :account_id
ORDER BY created_at DESC, secret_id DESC;
