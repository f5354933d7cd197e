-- Instants of guards come from the server's clock, unless :now has one.

-- name: find_dashboard_session
-- With the name and the limits of its account.
SELECT
    s.account_id, s.session_id, s.state, s.method, s.api_key_id, s.person, s.role, s.scopes, s.created_at,
    s.authenticated_at, s.expires_at, s.last_seen_at, s.remote, s.user_agent, s.subject, s.token_hash, s.row_mac,
    a.name AS account_name, a.max_requests_per_minute, a.max_key_requests_per_minute, a.max_connections, a.max_jobs_in_progress,
    a.max_idempotency_records, a.max_event_streams, a.max_webhook_endpoints,
    a.max_open_authorizations,
    coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS looked_at
FROM dashboard_sessions AS s
JOIN accounts AS a ON a.account_id = s.account_id
WHERE s.account_id = :account_id
    AND s.session_id = :session_id;

-- name: list_dashboard_sessions
-- Those that may still be accepted, newest first.
SELECT
    account_id, session_id, state, method, api_key_id, person, role, scopes, created_at, authenticated_at, expires_at,
    last_seen_at, remote, user_agent, subject, token_hash, row_mac
FROM dashboard_sessions
WHERE account_id = :account_id
    AND state <> 'ended'
    AND expires_at > :now
ORDER BY created_at DESC, session_id
LIMIT :limit;

-- name: insert_dashboard_session
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
), inserted AS (
    INSERT INTO dashboard_sessions (
        account_id, session_id, state, method, api_key_id, person, role, scopes, created_at, authenticated_at,
        expires_at, last_seen_at, remote, user_agent, subject, token_hash, row_mac)
    SELECT
        :account_id, :session_id::text, :state::text, :method::text, :api_key_id::text, :person::text, :role::text,
        :scopes::text, :created_at::bigint, :authenticated_at::bigint, :expires_at::bigint, :last_seen_at::bigint,
        :remote::text, :user_agent::text, :subject::text, :token_hash::bytea, :row_mac::bytea
    FROM active
    ON CONFLICT (account_id, session_id) DO NOTHING
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
SELECT EXISTS (SELECT 1 FROM active) AS is_active, count(*) AS written
FROM inserted;

-- name: update_dashboard_session
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
    UPDATE dashboard_sessions AS s SET
        state = :state,
        method = :method,
        api_key_id = :api_key_id,
        person = :person,
        role = :role,
        scopes = :scopes,
        created_at = :created_at,
        authenticated_at = :authenticated_at,
        expires_at = :expires_at,
        last_seen_at = :last_seen_at,
        remote = :remote,
        user_agent = :user_agent,
        subject = :subject,
        token_hash = :token_hash,
        row_mac = :row_mac
    FROM active
    WHERE s.account_id = :account_id
        AND s.session_id = :session_id
        AND s.row_mac = :expected_row_mac
    RETURNING s.account_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM updated
)
SELECT EXISTS (SELECT 1 FROM active) AS is_active, count(*) AS written
FROM updated;

-- name: touch_dashboard_session
UPDATE dashboard_sessions SET
    last_seen_at = :at
WHERE account_id = :account_id
    AND session_id = :session_id
    AND last_seen_at < :at;

-- name: delete_expired_dashboard_sessions
WITH clock AS (
    SELECT
        coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) - :kept_micros::bigint AS until
), ended AS MATERIALIZED (
    SELECT s.account_id, s.session_id, clock.until
    FROM dashboard_sessions AS s
    CROSS JOIN clock
    WHERE s.expires_at <= clock.until
    ORDER BY s.expires_at
    LIMIT :limit
)
DELETE FROM dashboard_sessions AS s
USING ended
WHERE s.account_id = ended.account_id
    AND s.session_id = ended.session_id
    AND s.expires_at <= ended.until
RETURNING s.session_id;

-- name: delete_dashboard_sessions_of_account
DELETE FROM dashboard_sessions
WHERE account_id = :account_id;
