-- name: find_account_limits
SELECT
    max_requests_per_minute, max_key_requests_per_minute, max_connections, max_jobs_in_progress,
    max_idempotency_records, max_event_streams, max_webhook_endpoints, max_open_authorizations
FROM accounts
WHERE account_id = :account_id;

-- name: update_account_limits
WITH updated AS (
    UPDATE accounts SET
        max_requests_per_minute = CASE WHEN :set_requests_per_minute::boolean THEN :requests_per_minute::bigint ELSE max_requests_per_minute END,
        max_key_requests_per_minute = CASE WHEN :set_key_requests_per_minute::boolean THEN :key_requests_per_minute::bigint ELSE max_key_requests_per_minute END,
        max_connections = CASE WHEN :set_connections::boolean THEN :connections::bigint ELSE max_connections END,
        max_jobs_in_progress = CASE WHEN :set_jobs_in_progress::boolean THEN :jobs_in_progress::bigint ELSE max_jobs_in_progress END,
        max_idempotency_records = CASE WHEN :set_idempotency_records::boolean THEN :idempotency_records::bigint ELSE max_idempotency_records END,
        max_event_streams = CASE WHEN :set_event_streams::boolean THEN :event_streams::bigint ELSE max_event_streams END,
        max_webhook_endpoints = CASE WHEN :set_webhook_endpoints::boolean THEN :webhook_endpoints::bigint ELSE max_webhook_endpoints END,
        max_open_authorizations = CASE WHEN :set_open_authorizations::boolean THEN :open_authorizations::bigint ELSE max_open_authorizations END
    WHERE account_id = :account_id
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

-- name: count_connections
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM connections
    WHERE account_id = :account_id
    LIMIT :most) AS counted;

-- name: count_jobs_in_progress
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM jobs
    WHERE account_id = :account_id
        AND due_class < 2
        AND due_at IS NOT NULL
    LIMIT :most) AS counted;

-- name: count_idempotency_records
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM idempotency_records
    WHERE account_id = :account_id
    LIMIT :most) AS counted;

-- name: record_exists
SELECT EXISTS (
    SELECT 1
    FROM idempotency_records
    WHERE account_id = :account_id
        AND operation = :operation
        AND idempotency_key = :idempotency_key) AS is_there;

-- name: count_webhook_endpoints
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM webhook_endpoints
    WHERE account_id = :account_id
    LIMIT :most) AS counted;

-- name: count_open_authorizations
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM authorizations
    WHERE account_id = :account_id
        AND overdue_at IS NOT NULL
    LIMIT :most) AS counted;
