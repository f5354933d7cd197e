-- Instants come from the server's clock, unless :now has one.

-- name: find_connection_health
SELECT status, since, checked_at, next_check_at, unanswered, revision, details
FROM connection_health
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: list_connection_health
SELECT connection_id, status, since, checked_at, next_check_at, unanswered, revision, details
FROM connection_health
WHERE account_id = :account_id
    AND connection_id = ANY (:connection_ids::text[]);

-- name: write_connection_health
-- Only while the connection has the credentials that were checked, and the row the :expected_revision. The connection is
-- locked, so that its deletion either comes first or finds the row. The :event_ parameters are arrays, with no or more events.
WITH locked AS (
    SELECT c.account_id, c.connection_id
    FROM connections AS c
    WHERE c.account_id = :account_id
        AND c.connection_id = :connection_id
        AND c.sealed_version = :sealed_version
        AND c.client_identifier = :client_identifier
    FOR SHARE
), written AS (
    INSERT INTO connection_health AS h (
        account_id, connection_id, status, since, checked_at, next_check_at, unanswered, revision, lease_until,
        details)
    SELECT
        :account_id, connection_id, :status::text, :since::bigint, :checked_at::bigint, :next_check_at::bigint,
        :unanswered::bigint, :expected_revision::bigint + 1, NULL, :details::text
    FROM locked
    ON CONFLICT (account_id, connection_id) DO UPDATE SET
        status = excluded.status,
        since = excluded.since,
        checked_at = excluded.checked_at,
        next_check_at = CASE
            WHEN h.next_check_at IS NOT DISTINCT FROM :read_next_check_at::bigint THEN excluded.next_check_at
            ELSE least(h.next_check_at, excluded.next_check_at)
            END,
        unanswered = excluded.unanswered,
        revision = excluded.revision,
        lease_until = NULL,
        details = excluded.details
    WHERE h.account_id = :account_id
        AND h.revision = :expected_revision::bigint
    RETURNING connection_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        :account_id, event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name, event_remote,
        event_action, event_subject, event_refusal
    FROM written
    CROSS JOIN unnest(
        :event_id::text[], :event_at::bigint[], :event_api_key_id::text[], :event_actor_kind::text[],
        :event_actor_name::text[], :event_remote::text[], :event_action::text[], :event_subject::text[],
        :event_refusal::text[]) AS input (
            event_id, event_at, event_api_key_id, event_actor_kind,
            event_actor_name, event_remote, event_action, event_subject,
            event_refusal)
    RETURNING account_id, audit_event_id, at
), announced AS (
    INSERT INTO webhook_deliveries (
        account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, body, body_mac, receiver,
        status, attempts, due_at, fence)
    SELECT
        e.account_id, audit_event_id || '-' || e.endpoint_id, e.endpoint_id, n.job_id, 'msg_' || audit_event_id,
        n.event_type, logged.at, n.body, n.body_mac, e.endpoint_id, 'waiting', 0,
        least(logged.at, (extract(epoch FROM now()) * 1000000)::bigint), 0
    FROM logged
    JOIN unnest(
        :announced_audit_event_id::text[], :announced_type::text[], :announced_bit::bigint[],
        :announced_body::text[], :announced_mac::bytea[], :announced_job_id::text[], :announced_only_id::text[],
        :announced_except_id::text[], :announced_is_for_operator::boolean[])
        AS n (
            audit_event_id, event_type, event_bit, body, body_mac, job_id, only_id, except_id,
            is_for_operator)
        USING (audit_event_id)
    JOIN webhook_endpoints AS e
        ON e.account_id = logged.account_id
    WHERE e.account_id = ANY (:announced_accounts::text[])
        AND e.is_enabled
        AND NOT n.is_for_operator
        AND CASE
            WHEN n.only_id IS NOT NULL THEN e.endpoint_id = n.only_id
            ELSE
                e.endpoint_id IS DISTINCT FROM n.except_id
                AND (e.events IS NULL OR e.events & n.event_bit <> 0)
            END
    ORDER BY e.account_id, audit_event_id COLLATE "C", e.endpoint_id
), announced_to_operator AS (
    INSERT INTO webhook_deliveries (
        account_id, delivery_id, job_id, event_id, event_type, created_at, body, body_mac, receiver, status,
        attempts, due_at, fence)
    SELECT
        logged.account_id, audit_event_id || '-operator', n.job_id, 'msg_' || audit_event_id, n.event_type,
        logged.at, n.body, n.body_mac, 'operator', 'waiting', 0,
        least(logged.at, (extract(epoch FROM now()) * 1000000)::bigint), 0
    FROM logged
    JOIN unnest(
        :announced_audit_event_id::text[], :announced_type::text[], :announced_bit::bigint[],
        :announced_body::text[], :announced_mac::bytea[], :announced_job_id::text[], :announced_only_id::text[],
        :announced_except_id::text[], :announced_is_for_operator::boolean[])
        AS n (
            audit_event_id, event_type, event_bit, body, body_mac, job_id, only_id, except_id,
            is_for_operator)
        USING (audit_event_id)
    WHERE n.is_for_operator
    ORDER BY logged.account_id COLLATE "C", audit_event_id COLLATE "C"
)
SELECT count(*) AS written
FROM written;

-- name: schedule_health_check
-- Never later than it is scheduled.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) + :in_micros::bigint AS at
)
UPDATE connection_health AS h SET next_check_at = clock.at
FROM clock
WHERE h.account_id = :account_id
    AND h.connection_id = :connection_id
    AND (h.next_check_at IS NULL OR h.next_check_at > clock.at)
RETURNING h.connection_id;

-- name: list_due_health_checks
-- At most :limit of each account. A loose scan of the index finds the accounts.
WITH RECURSIVE clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), found AS (
    (SELECT account_id
    FROM connection_health
    WHERE next_check_at IS NOT NULL
    ORDER BY account_id
    LIMIT 1)
    UNION ALL
    SELECT next.account_id
    FROM found
    CROSS JOIN LATERAL (
        SELECT h.account_id
        FROM connection_health AS h
        WHERE h.next_check_at IS NOT NULL
            AND h.account_id > found.account_id
        ORDER BY h.account_id
        LIMIT 1) AS next
)
SELECT due.account_id, due.connection_id, due.revision, due.next_check_at
FROM clock
CROSS JOIN found
CROSS JOIN LATERAL (
    SELECT h.account_id, h.connection_id, h.revision, h.next_check_at
    FROM connection_health AS h
    WHERE h.account_id = found.account_id
        AND h.next_check_at <= clock.now
        AND (h.lease_until IS NULL OR h.lease_until <= clock.now)
    ORDER BY h.next_check_at
    LIMIT :limit) AS due;

-- name: lease_health_check
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
)
UPDATE connection_health AS h SET
    revision = h.revision + 1,
    lease_until = clock.now + :lease_micros::bigint
FROM clock
WHERE h.account_id = :account_id
    AND h.connection_id = :connection_id
    AND h.revision = :expected_revision
    AND (h.lease_until IS NULL OR h.lease_until <= clock.now)
RETURNING h.status, h.since, h.checked_at, h.next_check_at, h.unanswered, h.revision, h.details;

-- name: list_not_healthy_connections
-- The index has these alone.
SELECT
    c.account_id, c.connection_id, c.name, c.description, c.is_enabled, c.client_identifier, c.created_at,
    c.updated_at, c.version, c.sealed_version
FROM connection_health AS h
JOIN connections AS c
    ON c.account_id = h.account_id
    AND c.connection_id = h.connection_id
WHERE h.account_id = :account_id
    AND c.account_id = :account_id
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
JOIN connections AS c
    ON c.account_id = h.account_id
    AND c.connection_id = h.connection_id
WHERE h.account_id = :account_id
    AND c.account_id = :account_id
    AND h.status = 'healthy'
    AND h.connection_id > :after
ORDER BY h.connection_id
LIMIT :limit;

-- name: count_not_healthy_connections
-- At most :most of each; the index has these alone.
SELECT
    (SELECT count(*) FROM (
        SELECT 1 FROM connection_health WHERE status <> 'healthy' AND status = 'unhealthy' LIMIT :most) AS found)
        AS unhealthy,
    (SELECT count(*) FROM (
        SELECT 1 FROM connection_health WHERE status <> 'healthy' AND status = 'unverified' LIMIT :most) AS found)
        AS unverified;

-- name: insert_missing_connection_health
-- For connections that an older version added.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), page AS MATERIALIZED (
    SELECT c.account_id, c.connection_id, c.created_at
    FROM connections AS c
    WHERE c.account_id = :account_id
        AND c.connection_id > :after
    ORDER BY c.connection_id
    LIMIT :limit
), added AS (
    INSERT INTO connection_health (
        account_id, connection_id, status, since, next_check_at, unanswered, revision)
    SELECT page.account_id, page.connection_id, 'unverified', page.created_at, clock.now, 0, 1
    FROM page
    CROSS JOIN clock
    ON CONFLICT DO NOTHING
)
SELECT max(connection_id) AS connection_id
FROM page;

-- name: delete_connection_health
-- Of connections that were deleted in the same transaction: each array has one element for each, except for :accounts, which
-- has each account once.
DELETE FROM connection_health AS h
USING unnest(:account_id::text[], :connection_id::text[]) AS input (account_id, connection_id)
WHERE h.account_id = ANY (:accounts::text[])
    AND h.account_id = input.account_id
    AND h.connection_id = input.connection_id;

-- name: delete_orphaned_health
DELETE FROM connection_health AS h
WHERE h.account_id = :account_id
    AND h.connection_id = :connection_id
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
        LIMIT :limit)
RETURNING connection_id;
