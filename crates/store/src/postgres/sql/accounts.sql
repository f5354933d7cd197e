-- name: list_accounts
SELECT
    account_id, name, created_at, keyring_key_id, wrapped_key, second_keyring_key_id, second_wrapped_key, second_key_role,
    second_key_since
FROM accounts
ORDER BY name;

-- name: list_account_ids
SELECT account_id
FROM accounts
ORDER BY account_id;

-- name: find_account
SELECT
    account_id, name, created_at, keyring_key_id, wrapped_key, second_keyring_key_id, second_wrapped_key, second_key_role,
    second_key_since
FROM accounts
WHERE account_id = :account_id;

-- name: find_account_by_name
SELECT
    account_id, name, created_at, keyring_key_id, wrapped_key, second_keyring_key_id, second_wrapped_key, second_key_role,
    second_key_since
FROM accounts
WHERE name = :name;

-- name: insert_account
WITH inserted AS (
    INSERT INTO accounts (account_id, name, created_at, keyring_key_id, wrapped_key)
    VALUES (:account_id, :name, :created_at, :keyring_key_id, :wrapped_key)
    ON CONFLICT (name) DO NOTHING
    RETURNING account_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM inserted
)
SELECT count(*) AS written
FROM inserted;

-- name: lock_account_for_deletion
-- Blocks every insertion of a row that refers to the account.
SELECT account_id
FROM accounts
WHERE account_id = :account_id
FOR UPDATE;

-- name: delete_api_keys
DELETE FROM api_keys
WHERE account_id = :account_id;

-- name: delete_connections_of_account
DELETE FROM connections
WHERE account_id = :account_id
    AND connection_id IN (
        SELECT connection_id
        FROM connections
        WHERE account_id = :account_id
        ORDER BY connection_id
        LIMIT :limit)
RETURNING connection_id;

-- name: delete_jobs_of_account
DELETE FROM jobs
WHERE account_id = :account_id
    AND job_id IN (
        SELECT job_id
        FROM jobs
        WHERE account_id = :account_id
        ORDER BY job_id
        LIMIT :limit)
RETURNING job_id;

-- name: delete_job_secrets
DELETE FROM job_secrets
WHERE account_id = :account_id
    AND job_id = ANY (:job_id::text[]);

-- name: delete_webhook_secrets_of_account
DELETE FROM webhook_secrets
WHERE account_id = :account_id
    AND secret_id IN (
        SELECT secret_id
        FROM webhook_secrets
        WHERE account_id = :account_id
        ORDER BY secret_id
        LIMIT :limit)
RETURNING secret_id;

-- name: delete_webhook_endpoints_of_account
DELETE FROM webhook_endpoints
WHERE account_id = :account_id
    AND endpoint_id IN (
        SELECT endpoint_id
        FROM webhook_endpoints
        WHERE account_id = :account_id
        ORDER BY endpoint_id
        LIMIT :limit)
RETURNING endpoint_id;

-- name: delete_webhook_deliveries_of_account
DELETE FROM webhook_deliveries
WHERE account_id = :account_id
    AND delivery_id IN (
        SELECT delivery_id
        FROM webhook_deliveries
        WHERE account_id = :account_id
        ORDER BY delivery_id
        LIMIT :limit)
RETURNING delivery_id;

-- name: delete_webhook_delivery_secrets_of_account
DELETE FROM webhook_delivery_secrets
WHERE account_id = :account_id
    AND delivery_id IN (
        SELECT delivery_id
        FROM webhook_delivery_secrets
        WHERE account_id = :account_id
        ORDER BY delivery_id
        LIMIT :limit)
RETURNING delivery_id;

-- name: delete_authorizations_of_account
DELETE FROM authorizations
WHERE account_id = :account_id
    AND authorization_id IN (
        SELECT authorization_id
        FROM authorizations
        WHERE account_id = :account_id
        ORDER BY authorization_id
        LIMIT :limit)
RETURNING authorization_id;

-- name: delete_authorization_secrets_of_account
DELETE FROM authorization_secrets
WHERE account_id = :account_id
    AND authorization_id IN (
        SELECT authorization_id
        FROM authorization_secrets
        WHERE account_id = :account_id
        ORDER BY authorization_id
        LIMIT :limit)
RETURNING authorization_id;

-- name: delete_records_of_account
DELETE FROM idempotency_records
WHERE account_id = :account_id
    AND (operation, idempotency_key) IN (
        SELECT operation, idempotency_key
        FROM idempotency_records
        WHERE account_id = :account_id
        ORDER BY operation, idempotency_key
        LIMIT :limit)
RETURNING idempotency_key;

-- name: delete_account
WITH deleted AS (
    DELETE FROM accounts
    WHERE account_id = :account_id
    RETURNING account_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM deleted
)
SELECT count(*) AS written
FROM deleted;
