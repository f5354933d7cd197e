-- name: find_authorization
SELECT
    a.account_id, a.authorization_id, a.created_at, a.expires_at, a.version, a.flow, a.next_poll_at, a.state,
    a.exchanging_since, a.connection_id, a.failure_reason, a.ended_at, a.state_hash, a.binding_hash, a.request,
    a.outcome,
    s.envelope, s.wrapped_key
FROM authorizations AS a
LEFT JOIN authorization_secrets AS s
    ON s.account_id = :account_id
    AND s.authorization_id = a.authorization_id
WHERE a.account_id = :account_id
    AND a.authorization_id = :authorization_id;

-- name: find_authorization_by_token
SELECT
    a.account_id, a.authorization_id, a.created_at, a.expires_at, a.version, a.flow, a.next_poll_at, a.state,
    a.exchanging_since, a.connection_id, a.failure_reason, a.ended_at, a.state_hash, a.binding_hash, a.request,
    a.outcome,
    s.envelope, s.wrapped_key
FROM authorizations AS a
LEFT JOIN authorization_secrets AS s
    ON s.account_id = :account_id
    AND s.authorization_id = a.authorization_id
WHERE a.account_id = :account_id
    AND a.connect_hash = :connect_hash;

-- name: find_authorization_by_state
SELECT
    a.account_id, a.authorization_id, a.created_at, a.expires_at, a.version, a.flow, a.next_poll_at, a.state,
    a.exchanging_since, a.connection_id, a.failure_reason, a.ended_at, a.state_hash, a.binding_hash, a.request,
    a.outcome,
    s.envelope, s.wrapped_key
FROM authorizations AS a
LEFT JOIN authorization_secrets AS s
    ON s.account_id = :account_id
    AND s.authorization_id = a.authorization_id
WHERE a.account_id = :account_id
    AND a.state_hash = :state_hash;

-- name: list_authorizations
-- Without what is sealed.
SELECT
    account_id, authorization_id, created_at, expires_at, version, flow, next_poll_at, state, exchanging_since,
    connection_id, failure_reason, ended_at, state_hash, binding_hash, request, outcome,
    NULL::bytea AS envelope, NULL::bytea AS wrapped_key
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
    NULL::bytea AS envelope, NULL::bytea AS wrapped_key
FROM authorizations
WHERE account_id = :account_id
    AND overdue_at > coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint)
ORDER BY authorization_id DESC
LIMIT :limit;

-- name: list_overdue_authorizations
SELECT a.account_id, a.authorization_id
FROM authorizations AS a
WHERE a.overdue_at <= coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint)
ORDER BY a.overdue_at
LIMIT :limit;

-- name: insert_authorization
-- :operation is NULL unless the write completes an idempotency record.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), active AS (
    SELECT clock.now
    FROM clock
    WHERE CASE
        WHEN :event_api_key_id::text IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = :account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = :account_id
                AND k.api_key_id = :event_api_key_id::text
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > clock.now))
        END
), held AS (
    SELECT r.attempt
    FROM idempotency_records AS r
    WHERE r.account_id = :account_id
        AND r.operation = :operation
        AND r.idempotency_key = :idempotency_key
        AND r.attempt = :attempt
        AND r.answer IS NULL
        AND NOT r.is_released
    FOR UPDATE
), checks AS (
    SELECT
        EXISTS (SELECT 1 FROM active) AS is_active,
        :operation::text IS NULL OR EXISTS (SELECT 1 FROM held) AS is_held,
        clock.now
    FROM clock
), inserted AS (
    INSERT INTO authorizations (
        account_id, authorization_id, created_at, expires_at, version, flow, next_poll_at, state, overdue_at,
        connect_hash, request)
    SELECT
        :account_id, :authorization_id::text, :created_at::bigint, :expires_at::bigint, :version::bigint,
        :flow::text, :next_poll_at::bigint, :state::text, :overdue_at::bigint, :connect_hash::bytea,
        :request::text
    FROM checks
    WHERE checks.is_active
        AND checks.is_held
    RETURNING account_id, authorization_id
), sealed AS (
    INSERT INTO authorization_secrets (account_id, authorization_id, wrapped_key, envelope)
    SELECT account_id, authorization_id, :wrapped_key::bytea, :envelope::bytea
    FROM inserted
), completed AS (
    UPDATE idempotency_records AS r SET
        answer = :answer,
        answered_at = coalesce(:answered_at::bigint, checks.now)
    FROM checks
    CROSS JOIN inserted
    WHERE r.account_id = :account_id
        AND r.operation = :operation
        AND r.idempotency_key = :idempotency_key
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM inserted
)
SELECT is_active, is_held
FROM checks;

-- name: update_authorization
-- :event_id is NULL if the write is not audited.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), active AS (
    SELECT clock.now
    FROM clock
    WHERE CASE
        WHEN :event_api_key_id::text IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = :account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = :account_id
                AND k.api_key_id = :event_api_key_id::text
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > clock.now))
        END
), updated AS (
    UPDATE authorizations AS a SET
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
    FROM active
    WHERE a.account_id = :account_id
        AND a.authorization_id = :authorization_id
        AND a.version = :expected_version
    RETURNING a.account_id
), wiped AS (
    DELETE FROM authorization_secrets AS s
    USING updated
    WHERE s.account_id = :account_id
        AND s.authorization_id = :authorization_id
        AND :is_wiped::boolean
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM updated
    WHERE :event_id::text IS NOT NULL
)
SELECT EXISTS (SELECT 1 FROM active) AS is_active, count(*) AS written
FROM updated;
