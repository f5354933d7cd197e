-- A sealing key that is missing reads as one that was wiped: the row is there and does not decrypt.

-- name: find_authorization
SELECT
    a.account_id, a.authorization_id, a.created_at, a.expires_at, a.version, a.flow, a.next_poll_at, a.state,
    a.exchanging_since, a.connection_id, a.failure_reason, a.ended_at, a.state_hash, a.binding_hash, a.request,
    a.outcome,
    s.envelope, CASE WHEN s.envelope IS NOT NULL THEN coalesce(k.wrapped_key, zeroblob(60)) END AS wrapped_key
FROM authorizations AS a
LEFT JOIN authorization_secrets AS s
    ON s.account_id = a.account_id
    AND s.authorization_id = a.authorization_id
LEFT JOIN sealing_keys AS k
    ON k.sealing_key_id = s.sealing_key_id
WHERE a.account_id = :account_id
    AND a.authorization_id = :authorization_id;

-- name: find_authorization_by_token
SELECT
    a.account_id, a.authorization_id, a.created_at, a.expires_at, a.version, a.flow, a.next_poll_at, a.state,
    a.exchanging_since, a.connection_id, a.failure_reason, a.ended_at, a.state_hash, a.binding_hash, a.request,
    a.outcome,
    s.envelope, CASE WHEN s.envelope IS NOT NULL THEN coalesce(k.wrapped_key, zeroblob(60)) END AS wrapped_key
FROM authorizations AS a
LEFT JOIN authorization_secrets AS s
    ON s.account_id = a.account_id
    AND s.authorization_id = a.authorization_id
LEFT JOIN sealing_keys AS k
    ON k.sealing_key_id = s.sealing_key_id
WHERE a.account_id = :account_id
    AND a.connect_hash = :connect_hash;

-- name: find_authorization_by_state
SELECT
    a.account_id, a.authorization_id, a.created_at, a.expires_at, a.version, a.flow, a.next_poll_at, a.state,
    a.exchanging_since, a.connection_id, a.failure_reason, a.ended_at, a.state_hash, a.binding_hash, a.request,
    a.outcome,
    s.envelope, CASE WHEN s.envelope IS NOT NULL THEN coalesce(k.wrapped_key, zeroblob(60)) END AS wrapped_key
FROM authorizations AS a
LEFT JOIN authorization_secrets AS s
    ON s.account_id = a.account_id
    AND s.authorization_id = a.authorization_id
LEFT JOIN sealing_keys AS k
    ON k.sealing_key_id = s.sealing_key_id
WHERE a.account_id = :account_id
    AND a.state_hash = :state_hash;

-- name: list_authorizations
-- Without what is sealed.
SELECT
    account_id, authorization_id, created_at, expires_at, version, flow, next_poll_at, state, exchanging_since,
    connection_id, failure_reason, ended_at, state_hash, binding_hash, request, outcome,
    NULL AS envelope, NULL AS wrapped_key
FROM authorizations
WHERE account_id = :account_id
    AND authorization_id < :before
ORDER BY authorization_id DESC
LIMIT :limit;

-- name: list_open_authorizations
-- Without what is sealed.
SELECT
    account_id, authorization_id, created_at, expires_at, version, flow, next_poll_at, state, exchanging_since,
    connection_id, failure_reason, ended_at, state_hash, binding_hash, request, outcome,
    NULL AS envelope, NULL AS wrapped_key
FROM authorizations
WHERE account_id = :account_id
    AND overdue_at > :now
ORDER BY authorization_id DESC
LIMIT :limit;

-- name: list_overdue_authorizations
SELECT account_id, authorization_id
FROM authorizations
WHERE overdue_at <= :now
ORDER BY overdue_at
LIMIT :limit;

-- name: insert_authorization
INSERT INTO authorizations (
    account_id, authorization_id, created_at, expires_at, version, flow, next_poll_at, state, overdue_at,
    connect_hash, request)
VALUES (
    :account_id, :authorization_id, :created_at, :expires_at, :version, :flow, :next_poll_at, :state, :overdue_at,
    :connect_hash, :request);

-- name: insert_authorization_secret
INSERT INTO authorization_secrets (account_id, authorization_id, sealing_key_id, envelope)
VALUES (:account_id, :authorization_id, :sealing_key_id, :envelope);

-- name: update_authorization
UPDATE authorizations SET
    version = :version,
    next_poll_at = :next_poll_at,
    state = :state,
    exchanging_since = :exchanging_since,
    connection_id = :connection_id,
    failure_reason = :failure_reason,
    overdue_at = :overdue_at,
    ended_at = :ended_at,
    state_hash = :state_hash,
    binding_hash = :binding_hash,
    outcome = :outcome
WHERE account_id = :account_id
    AND authorization_id = :authorization_id
    AND version = :expected_version;

-- name: wipe_authorization
UPDATE sealing_keys SET
    wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT sealing_key_id
    FROM authorization_secrets
    WHERE account_id = :account_id
        AND authorization_id = :authorization_id);

-- name: delete_authorization_secret
DELETE FROM authorization_secrets
WHERE account_id = :account_id
    AND authorization_id = :authorization_id;

-- name: wipe_authorizations_of_account
UPDATE sealing_keys SET
    wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT sealing_key_id
    FROM authorization_secrets
    WHERE account_id = :account_id
    ORDER BY authorization_id
    LIMIT :limit);

-- name: delete_authorization_secrets_of_account
DELETE FROM authorization_secrets
WHERE rowid IN (
    SELECT rowid
    FROM authorization_secrets
    WHERE account_id = :account_id
    ORDER BY authorization_id
    LIMIT :limit);

-- name: delete_authorizations_of_account
DELETE FROM authorizations
WHERE rowid IN (
    SELECT rowid
    FROM authorizations
    WHERE account_id = :account_id
    ORDER BY authorization_id
    LIMIT :limit);
