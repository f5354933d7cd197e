-- name: insert_connection_health
INSERT INTO connection_health (
    account_id, connection_id, status, since, checked_at, next_check_at, unanswered, revision)
VALUES (:account_id, :connection_id, :status, :since, :checked_at, :next_check_at, 0, 1);

-- name: find_connection_health
SELECT status, since, checked_at, next_check_at, unanswered, revision, details
FROM connection_health
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: write_connection_health
-- Only while the connection has the credentials that were checked, and the row the :expected_revision.
INSERT INTO connection_health AS h (
    account_id, connection_id, status, since, checked_at, next_check_at, unanswered, revision, lease_until, details)
SELECT
    c.account_id, c.connection_id, :status, :since, :checked_at, :next_check_at, :unanswered,
    :expected_revision + 1, NULL, :details
FROM connections AS c
WHERE c.account_id = :account_id
    AND c.connection_id = :connection_id
    AND c.sealed_version = :sealed_version
    AND c.client_identifier = :client_identifier
ON CONFLICT (account_id, connection_id) DO UPDATE SET
    status = excluded.status,
    since = excluded.since,
    checked_at = excluded.checked_at,
    next_check_at = CASE
        WHEN h.next_check_at IS :read_next_check_at THEN excluded.next_check_at
        ELSE min(h.next_check_at, excluded.next_check_at)
        END,
    unanswered = excluded.unanswered,
    revision = excluded.revision,
    lease_until = NULL,
    details = excluded.details
WHERE h.revision = :expected_revision;

-- name: schedule_health_check
-- Never later than it is scheduled.
UPDATE connection_health SET next_check_at = :at
WHERE account_id = :account_id
    AND connection_id = :connection_id
    AND (next_check_at IS NULL OR next_check_at > :at);

-- name: find_next_account
SELECT account_id
FROM connection_health
WHERE account_id > :account_id
    AND next_check_at IS NOT NULL
ORDER BY account_id
LIMIT 1;

-- name: list_due_health_checks_of_account
SELECT connection_id, revision, next_check_at
FROM connection_health
WHERE account_id = :account_id
    AND next_check_at <= :now
    AND (lease_until IS NULL OR lease_until <= :now)
ORDER BY next_check_at
LIMIT :limit;

-- name: lease_health_check
UPDATE connection_health SET
    revision = revision + 1,
    lease_until = :lease_until
WHERE account_id = :account_id
    AND connection_id = :connection_id
    AND revision = :expected_revision
    AND (lease_until IS NULL OR lease_until <= :now)
RETURNING status, since, checked_at, next_check_at, unanswered, revision, details;

-- name: list_not_healthy_connections
-- The index has these alone.
SELECT
    c.account_id, c.connection_id, c.name, c.description, c.is_enabled, c.client_identifier, c.created_at,
    c.updated_at, c.version, c.sealed_version
FROM connection_health AS h
JOIN connections AS c USING (account_id, connection_id)
WHERE h.account_id = :account_id
    AND h.status <> 'healthy'
    AND h.status = :status
    AND h.connection_id > :after
ORDER BY h.connection_id
LIMIT :limit;

-- name: list_healthy_connections
SELECT
    c.account_id, c.connection_id, c.name, c.description, c.is_enabled, c.client_identifier, c.created_at,
    c.updated_at, c.version, c.sealed_version
FROM connection_health AS h
JOIN connections AS c USING (account_id, connection_id)
WHERE h.account_id = :account_id
    AND h.status = 'healthy'
    AND h.connection_id > :after
ORDER BY h.connection_id
LIMIT :limit;

-- name: count_not_healthy_connections
-- At most :most of each; the index has these alone.
SELECT
    (SELECT count(*) FROM (
        SELECT 1 FROM connection_health WHERE status <> 'healthy' AND status = 'unhealthy' LIMIT :most)) AS unhealthy,
    (SELECT count(*) FROM (
        SELECT 1 FROM connection_health WHERE status <> 'healthy' AND status = 'unverified' LIMIT :most)) AS unverified;

-- name: insert_missing_connection_health
-- For connections that an older version added. `true` separates the selection from ON CONFLICT.
INSERT INTO connection_health (
    account_id, connection_id, status, since, next_check_at, unanswered, revision)
SELECT account_id, connection_id, 'unverified', created_at, :now, 0, 1
FROM (
    SELECT account_id, connection_id, created_at
    FROM connections
    WHERE account_id = :account_id
        AND connection_id > :after
    ORDER BY connection_id
    LIMIT :limit)
WHERE true
ON CONFLICT DO NOTHING;

-- name: find_last_examined
SELECT max(connection_id)
FROM (
    SELECT connection_id
    FROM connections
    WHERE account_id = :account_id
        AND connection_id > :after
    ORDER BY connection_id
    LIMIT :limit);

-- name: delete_connection_health
DELETE FROM connection_health
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: delete_orphaned_health
DELETE FROM connection_health
WHERE account_id = :account_id
    AND connection_id = :connection_id
    AND NOT EXISTS (
        SELECT 1
        FROM connections AS c
        WHERE c.account_id = :account_id
            AND c.connection_id = :connection_id);

-- name: delete_connection_health_of_account
DELETE FROM connection_health
WHERE account_id = :account_id
    AND connection_id IN (
        SELECT connection_id
        FROM connection_health
        WHERE account_id = :account_id
        ORDER BY connection_id
        LIMIT :limit);
