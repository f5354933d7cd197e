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

-- name: wipe_replaced_account_keys
-- In place, before the row is rewritten: it may move.
UPDATE accounts SET
    wrapped_key = zeroblob(60),
    second_wrapped_key = CASE WHEN second_wrapped_key IS NOT NULL THEN zeroblob(60) END
WHERE account_id = :account_id
    AND wrapped_key = :expected
    AND second_wrapped_key IS :expected_second;

-- name: update_account_keys
UPDATE accounts SET
    keyring_key_id = :keyring_key_id,
    wrapped_key = :wrapped_key,
    second_keyring_key_id = :second_keyring_key_id,
    second_wrapped_key = :second_wrapped_key,
    second_key_role = :second_key_role,
    second_key_since = :second_key_since
WHERE account_id = :account_id;

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
        WHERE keyring_key_id = :keyring_key_id);

-- name: list_connection_sealing_keys
SELECT t.connection_id AS record, t.sealed_version AS version, k.wrapped_key AS wrapped_key
FROM connections AS t
JOIN sealing_keys AS k USING (sealing_key_id)
WHERE t.account_id = :account_id
    AND t.connection_id > :after
ORDER BY t.connection_id
LIMIT :limit;

-- name: list_job_sealing_keys
SELECT t.job_id AS record, j.restarts AS version, k.wrapped_key AS wrapped_key
FROM job_secrets AS t
JOIN jobs AS j USING (account_id, job_id)
JOIN sealing_keys AS k USING (sealing_key_id)
WHERE t.account_id = :account_id
    AND t.part = :part
    AND t.job_id > :after
ORDER BY t.job_id
LIMIT :limit;

-- name: list_webhook_secret_sealing_keys
SELECT t.secret_id AS record, 1 AS version, k.wrapped_key AS wrapped_key
FROM webhook_secrets AS t
JOIN sealing_keys AS k USING (sealing_key_id)
WHERE t.account_id = :account_id
    AND t.secret_id > :after
ORDER BY t.secret_id
LIMIT :limit;

-- name: list_webhook_endpoint_sealing_keys
SELECT t.endpoint_id AS record, t.version AS version, k.wrapped_key AS wrapped_key
FROM webhook_endpoints AS t
JOIN sealing_keys AS k USING (sealing_key_id)
WHERE t.account_id = :account_id
    AND t.endpoint_id > :after
ORDER BY t.endpoint_id
LIMIT :limit;

-- name: list_webhook_delivery_sealing_keys
SELECT t.delivery_id AS record, 1 AS version, k.wrapped_key AS wrapped_key
FROM webhook_delivery_secrets AS t
JOIN sealing_keys AS k USING (sealing_key_id)
WHERE t.account_id = :account_id
    AND t.delivery_id > :after
ORDER BY t.delivery_id
LIMIT :limit;

-- name: list_authorization_sealing_keys
SELECT t.authorization_id AS record, 1 AS version, k.wrapped_key AS wrapped_key
FROM authorization_secrets AS t
JOIN sealing_keys AS k USING (sealing_key_id)
WHERE t.account_id = :account_id
    AND t.authorization_id > :after
ORDER BY t.authorization_id
LIMIT :limit;

-- name: replace_connection_sealing_key
UPDATE sealing_keys SET
    wrapped_key = :wrapped_key
WHERE sealing_key_id = (
    SELECT sealing_key_id
    FROM connections
    WHERE account_id = :account_id
        AND connection_id = :record)
    AND wrapped_key = :expected;

-- name: replace_job_sealing_key
UPDATE sealing_keys SET
    wrapped_key = :wrapped_key
WHERE sealing_key_id = (
    SELECT sealing_key_id
    FROM job_secrets
    WHERE account_id = :account_id
        AND job_id = :record
        AND part = :part)
    AND wrapped_key = :expected;

-- name: replace_webhook_secret_sealing_key
UPDATE sealing_keys SET
    wrapped_key = :wrapped_key
WHERE sealing_key_id = (
    SELECT sealing_key_id
    FROM webhook_secrets
    WHERE account_id = :account_id
        AND secret_id = :record)
    AND wrapped_key = :expected;

-- name: replace_webhook_endpoint_sealing_key
UPDATE sealing_keys SET
    wrapped_key = :wrapped_key
WHERE sealing_key_id = (
    SELECT sealing_key_id
    FROM webhook_endpoints
    WHERE account_id = :account_id
        AND endpoint_id = :record)
    AND wrapped_key = :expected;

-- name: replace_webhook_delivery_sealing_key
UPDATE sealing_keys SET
    wrapped_key = :wrapped_key
WHERE sealing_key_id = (
    SELECT sealing_key_id
    FROM webhook_delivery_secrets
    WHERE account_id = :account_id
        AND delivery_id = :record)
    AND wrapped_key = :expected;

-- name: replace_authorization_sealing_key
UPDATE sealing_keys SET
    wrapped_key = :wrapped_key
WHERE sealing_key_id = (
    SELECT sealing_key_id
    FROM authorization_secrets
    WHERE account_id = :account_id
        AND authorization_id = :record)
    AND wrapped_key = :expected;
