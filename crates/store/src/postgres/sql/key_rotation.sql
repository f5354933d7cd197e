-- name: list_keyring_uses
-- Each key that the database was sealed with, with the accounts that have a key wrapped with it.
SELECT
    c.keyring_key_id,
    (
        SELECT count(*)
        FROM accounts AS a
        WHERE a.keyring_key_id = c.keyring_key_id
            OR a.second_keyring_key_id = c.keyring_key_id) AS accounts,
    EXISTS (
        SELECT 1
        FROM service_secrets AS s
        WHERE s.keyring_key_id = c.keyring_key_id) AS is_active
FROM keyring_checks AS c
ORDER BY c.keyring_key_id;

-- name: list_accounts_to_rewrap
SELECT
    account_id, name, created_at, keyring_key_id, wrapped_key, second_keyring_key_id, second_wrapped_key, second_key_role,
    second_key_since
FROM accounts
WHERE account_id > :after
    AND (keyring_key_id <> :keyring_key_id OR second_keyring_key_id <> :keyring_key_id)
ORDER BY account_id
LIMIT :limit;

-- name: list_accounts_with_second_key
SELECT
    account_id, name, created_at, keyring_key_id, wrapped_key, second_keyring_key_id, second_wrapped_key, second_key_role,
    second_key_since
FROM accounts
WHERE second_key_role IS NOT NULL
ORDER BY account_id;

-- name: rewrap_account_keys
UPDATE accounts SET
    keyring_key_id = :keyring_key_id,
    wrapped_key = :wrapped_key,
    second_keyring_key_id = :second_keyring_key_id::text,
    second_wrapped_key = :second_wrapped_key::bytea,
    second_key_role = :second_key_role::text,
    second_key_since = :second_key_since::bigint
WHERE account_id = :account_id
    AND wrapped_key = :expected
    AND second_wrapped_key IS NOT DISTINCT FROM :expected_second::bytea
RETURNING account_id;

-- name: update_account_keys
WITH updated AS (
    UPDATE accounts SET
        keyring_key_id = :keyring_key_id,
        wrapped_key = :wrapped_key,
        second_keyring_key_id = :second_keyring_key_id::text,
        second_wrapped_key = :second_wrapped_key::bytea,
        second_key_role = :second_key_role::text,
        second_key_since = :second_key_since::bigint
    WHERE account_id = :account_id
        AND wrapped_key = :expected
        AND second_wrapped_key IS NOT DISTINCT FROM :expected_second::bytea
    RETURNING account_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM updated
)
SELECT count(*) AS written
FROM updated;

-- name: delete_keyring_check
-- Only if nothing is wrapped with it. A row that is added meanwhile refers to it, and the one or the other fails.
DELETE FROM keyring_checks
WHERE keyring_key_id = :keyring_key_id
    AND NOT EXISTS (
        SELECT 1
        FROM accounts
        WHERE keyring_key_id = :keyring_key_id
            OR second_keyring_key_id = :keyring_key_id)
    AND NOT EXISTS (
        SELECT 1
        FROM service_secrets
        WHERE keyring_key_id = :keyring_key_id)
    AND NOT EXISTS (
        SELECT 1
        FROM other_service_secrets
        WHERE keyring_key_id = :keyring_key_id)
RETURNING keyring_key_id;

-- name: list_connection_sealing_keys
SELECT t.connection_id AS record, t.sealed_version AS version, t.wrapped_key AS wrapped_key
FROM connections AS t
WHERE t.account_id = :account_id
    AND t.connection_id > :after
ORDER BY t.connection_id
LIMIT :limit;

-- name: list_job_sealing_keys
SELECT t.job_id AS record, j.restarts AS version, t.wrapped_key AS wrapped_key
FROM job_secrets AS t
JOIN jobs AS j
    ON j.account_id = t.account_id
    AND j.job_id = t.job_id
WHERE t.account_id = :account_id
    AND j.account_id = :account_id
    AND t.part = :part
    AND t.job_id > :after
ORDER BY t.job_id
LIMIT :limit;

-- name: list_webhook_secret_sealing_keys
SELECT t.secret_id AS record, 1::bigint AS version, t.wrapped_key AS wrapped_key
FROM webhook_secrets AS t
WHERE t.account_id = :account_id
    AND t.secret_id > :after
ORDER BY t.secret_id
LIMIT :limit;

-- name: list_webhook_endpoint_sealing_keys
SELECT t.endpoint_id AS record, t.version AS version, t.wrapped_key AS wrapped_key
FROM webhook_endpoints AS t
WHERE t.account_id = :account_id
    AND t.endpoint_id > :after
ORDER BY t.endpoint_id
LIMIT :limit;

-- name: list_webhook_delivery_sealing_keys
SELECT t.delivery_id AS record, 1::bigint AS version, t.wrapped_key AS wrapped_key
FROM webhook_delivery_secrets AS t
WHERE t.account_id = :account_id
    AND t.delivery_id > :after
ORDER BY t.delivery_id
LIMIT :limit;

-- name: list_authorization_sealing_keys
SELECT t.authorization_id AS record, 1::bigint AS version, t.wrapped_key AS wrapped_key
FROM authorization_secrets AS t
WHERE t.account_id = :account_id
    AND t.authorization_id > :after
ORDER BY t.authorization_id
LIMIT :limit;

-- name: replace_connection_sealing_key
UPDATE connections SET
    wrapped_key = :wrapped_key
WHERE account_id = :account_id
    AND connection_id = :record
    AND wrapped_key = :expected
RETURNING connection_id;

-- name: replace_job_sealing_key
UPDATE job_secrets SET
    wrapped_key = :wrapped_key
WHERE account_id = :account_id
    AND job_id = :record
    AND part = :part
    AND wrapped_key = :expected
RETURNING job_id;

-- name: replace_webhook_secret_sealing_key
UPDATE webhook_secrets SET
    wrapped_key = :wrapped_key
WHERE account_id = :account_id
    AND secret_id = :record
    AND wrapped_key = :expected
RETURNING secret_id;

-- name: replace_webhook_endpoint_sealing_key
UPDATE webhook_endpoints SET
    wrapped_key = :wrapped_key
WHERE account_id = :account_id
    AND endpoint_id = :record
    AND wrapped_key = :expected
RETURNING endpoint_id;

-- name: replace_webhook_delivery_sealing_key
UPDATE webhook_delivery_secrets SET
    wrapped_key = :wrapped_key
WHERE account_id = :account_id
    AND delivery_id = :record
    AND wrapped_key = :expected
RETURNING delivery_id;

-- name: replace_authorization_sealing_key
UPDATE authorization_secrets SET
    wrapped_key = :wrapped_key
WHERE account_id = :account_id
    AND authorization_id = :record
    AND wrapped_key = :expected
RETURNING authorization_id;
