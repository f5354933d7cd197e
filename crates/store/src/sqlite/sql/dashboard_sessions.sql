-- name: find_dashboard_session
-- With the name and the limits of its account.
SELECT
    s.account_id, s.session_id, s.state, s.method, s.api_key_id, s.person, s.role, s.scopes, s.created_at,
    s.authenticated_at, s.expires_at, s.last_seen_at, s.remote, s.user_agent, s.subject, s.token_hash, s.row_mac,
    a.name AS account_name, a.max_requests_per_minute, a.max_key_requests_per_minute, a.max_connections, a.max_jobs_in_progress,
    a.max_idempotency_records, a.max_event_streams, a.max_webhook_endpoints,
    a.max_open_authorizations
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
INSERT INTO dashboard_sessions (
    account_id, session_id, state, method, api_key_id, person, role, scopes, created_at, authenticated_at, expires_at,
    last_seen_at, remote, user_agent, subject, token_hash, row_mac)
VALUES (
    :account_id, :session_id, :state, :method, :api_key_id, :person, :role, :scopes, :created_at, :authenticated_at,
    :expires_at, :last_seen_at, :remote, :user_agent, :subject, :token_hash, :row_mac)
ON CONFLICT (account_id, session_id) DO NOTHING;

-- name: update_dashboard_session
UPDATE dashboard_sessions SET
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
WHERE account_id = :account_id
    AND session_id = :session_id
    AND row_mac = :expected_row_mac;

-- name: touch_dashboard_session
UPDATE dashboard_sessions SET
    last_seen_at = :at
WHERE account_id = :account_id
    AND session_id = :session_id
    AND last_seen_at < :at;

-- name: delete_expired_dashboard_sessions
DELETE FROM dashboard_sessions
WHERE rowid IN (
    SELECT rowid
    FROM dashboard_sessions
    WHERE expires_at <= :until
    ORDER BY expires_at, rowid
    LIMIT :limit);

-- name: delete_dashboard_sessions_of_account
DELETE FROM dashboard_sessions
WHERE account_id = :account_id;
