-- name: find_account_limits
SELECT
    max_requests_per_minute, max_key_requests_per_minute, max_connections, max_jobs_in_progress,
    max_idempotency_records, max_event_streams, max_webhook_endpoints, max_open_authorizations
FROM accounts
WHERE account_id = :account_id;

-- name: update_account_limits
UPDATE accounts SET
    max_requests_per_minute = CASE WHEN :set_requests_per_minute THEN :requests_per_minute ELSE max_requests_per_minute END,
    max_key_requests_per_minute = CASE WHEN :set_key_requests_per_minute THEN :key_requests_per_minute ELSE max_key_requests_per_minute END,
    max_connections = CASE WHEN :set_connections THEN :connections ELSE max_connections END,
    max_jobs_in_progress = CASE WHEN :set_jobs_in_progress THEN :jobs_in_progress ELSE max_jobs_in_progress END,
    max_idempotency_records = CASE WHEN :set_idempotency_records THEN :idempotency_records ELSE max_idempotency_records END,
    max_event_streams = CASE WHEN :set_event_streams THEN :event_streams ELSE max_event_streams END,
    max_webhook_endpoints = CASE WHEN :set_webhook_endpoints THEN :webhook_endpoints ELSE max_webhook_endpoints END,
    max_open_authorizations = CASE WHEN :set_open_authorizations THEN :open_authorizations ELSE max_open_authorizations END
WHERE account_id = :account_id;

-- name: count_connections
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM connections
    WHERE account_id = :account_id
    LIMIT :most);

-- name: count_jobs_in_progress
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM jobs
    WHERE account_id = :account_id
        AND due_class < 2
        AND due_at IS NOT NULL
    LIMIT :most);

-- name: count_idempotency_records
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM idempotency_records
    WHERE account_id = :account_id
    LIMIT :most);

-- name: record_exists
SELECT EXISTS (
    SELECT 1
    FROM idempotency_records
    WHERE account_id = :account_id
        AND operation = :operation
        AND idempotency_key = :idempotency_key);

-- name: count_webhook_endpoints
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM webhook_endpoints
    WHERE account_id = :account_id
    LIMIT :most);

-- name: count_open_authorizations
SELECT count(*) AS count
FROM (
    SELECT 1
    FROM authorizations
    WHERE account_id = :account_id
        AND overdue_at IS NOT NULL
    LIMIT :most);
