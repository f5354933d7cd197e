-- name: list_service_secrets
-- The one that signs has no role. The latest first.
SELECT number, NULL AS role, NULL AS since, keyring_key_id, wrapped_key
FROM service_secrets
WHERE purpose = 'service'
UNION ALL
SELECT number, role, since, keyring_key_id, wrapped_key
FROM other_service_secrets
ORDER BY number DESC;

-- name: update_service_secret
UPDATE service_secrets SET
    number = :number,
    keyring_key_id = :keyring_key_id,
    wrapped_key = :wrapped_key
WHERE purpose = 'service';

-- name: delete_other_service_secrets
DELETE FROM other_service_secrets;

-- name: insert_other_service_secret
INSERT INTO other_service_secrets (number, role, since, keyring_key_id, wrapped_key)
VALUES (:number, :role, :since, :keyring_key_id, :wrapped_key);

-- name: find_signed_message
SELECT event_id, event_type, body, body_mac
FROM webhook_deliveries
WHERE account_id = :account_id
    AND delivery_id = :delivery_id
    AND body_mac IS NOT NULL;

-- name: list_signed_api_keys
SELECT t.api_key_id AS record
FROM api_keys AS t
WHERE t.account_id = :account_id
    AND t.api_key_id > :after
ORDER BY t.api_key_id
LIMIT :limit;

-- name: replace_api_key_mac
UPDATE api_keys SET
    row_mac = :mac
WHERE account_id = :account_id
    AND api_key_id = :record
    AND row_mac = :expected;

-- name: list_signed_sessions
SELECT t.session_id AS record
FROM dashboard_sessions AS t
WHERE t.account_id = :account_id
    AND t.session_id > :after
ORDER BY t.session_id
LIMIT :limit;

-- name: replace_session_mac
UPDATE dashboard_sessions SET
    row_mac = :mac
WHERE account_id = :account_id
    AND session_id = :record
    AND row_mac = :expected;

-- name: list_signed_jobs
SELECT t.job_id AS record
FROM jobs AS t
WHERE t.account_id = :account_id
    AND t.job_id > :after
    AND t.row_mac IS NOT NULL
ORDER BY t.job_id
LIMIT :limit;

-- name: replace_job_mac
UPDATE jobs SET
    row_mac = :mac
WHERE account_id = :account_id
    AND job_id = :record
    AND row_mac = :expected;

-- name: list_signed_webhook_messages
SELECT t.delivery_id AS record
FROM webhook_deliveries AS t
WHERE t.account_id = :account_id
    AND t.delivery_id > :after
    AND t.body_mac IS NOT NULL
ORDER BY t.delivery_id
LIMIT :limit;

-- name: replace_webhook_message_mac
UPDATE webhook_deliveries SET
    body_mac = :mac
WHERE account_id = :account_id
    AND delivery_id = :record
    AND body_mac = :expected;

-- name: list_signed_audit_chains
SELECT t.account_id AS record
FROM audit_chains AS t
WHERE t.account_id = :account_id
    AND t.account_id > :after
ORDER BY t.account_id
LIMIT :limit;

-- name: replace_audit_chain_mac
UPDATE audit_chains SET
    row_mac = :mac
WHERE account_id = :account_id
    AND account_id = :record
    AND row_mac = :expected;
