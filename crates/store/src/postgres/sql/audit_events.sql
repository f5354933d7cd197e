-- name: insert_audit_events
-- Parameters are arrays: :announced_accounts has each account once, the others that are :announced one element for each message,
-- and the rest one for each event.
WITH logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT account_id, event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal
    FROM unnest(
        :account_id::text[], :event_id::text[], :event_at::bigint[], :event_api_key_id::text[], :event_actor_kind::text[],
        :event_actor_name::text[], :event_remote::text[],
        :event_action::text[], :event_subject::text[], :event_refusal::text[])
        AS input (account_id, event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    ORDER BY account_id COLLATE "C", event_id COLLATE "C"
    ON CONFLICT (account_id, audit_event_id) DO NOTHING
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
SELECT audit_event_id
FROM logged;

-- name: lock_audit_event
-- A lock is a write: its commit waits until the standby has everything before it.
SELECT
FROM audit_events
WHERE account_id = :account_id
    AND audit_event_id = :audit_event_id
FOR UPDATE;

-- name: list_audit_events
-- Reads at most :scan events. The kind of an event of an earlier version is derived from its other columns.
SELECT account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal
FROM (
    SELECT account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal
    FROM audit_events
    WHERE account_id = :account_id
        AND audit_event_id >= :first_id
        AND audit_event_id < :end_id
    ORDER BY audit_event_id DESC
    LIMIT :scan::bigint) AS scanned
WHERE (:action::text IS NULL OR action = :action::text)
    AND (:subject::text IS NULL OR subject = :subject::text)
    AND (:api_key_id::text IS NULL OR api_key_id = :api_key_id::text)
    AND (
        :actor_kind::text IS NULL
        OR :actor_kind::text = coalesce(
            actor_kind,
            CASE WHEN api_key_id IS NOT NULL THEN 'api_key' WHEN remote = 'service' THEN 'worker' ELSE 'operator' END))
ORDER BY audit_event_id DESC
LIMIT :limit;

-- name: find_last_scanned
SELECT audit_event_id
FROM audit_events
WHERE account_id = :account_id
    AND audit_event_id >= :first_id
    AND audit_event_id < :end_id
ORDER BY audit_event_id DESC
LIMIT 1 OFFSET :scan::bigint - 1;

-- name: list_unlinked_audit_events
SELECT account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal
FROM audit_events AS e
WHERE e.account_id = :account_id
    AND e.audit_event_id >= :first_id
    AND e.audit_event_id < :end_id
    AND NOT EXISTS (
        SELECT 1
        FROM audit_links AS l
        WHERE l.account_id = :account_id
            AND l.audit_event_id = e.audit_event_id)
ORDER BY e.audit_event_id
LIMIT :limit;

-- name: list_audit_event_ids
SELECT e.audit_event_id, l.audit_event_id IS NOT NULL AS is_linked
FROM audit_events AS e
LEFT JOIN audit_links AS l
    ON l.account_id = :account_id
    AND l.audit_event_id = e.audit_event_id
WHERE e.account_id = :account_id
    AND e.audit_event_id > :after
ORDER BY e.audit_event_id
LIMIT :limit;

-- name: delete_audit_events
DELETE FROM audit_events
WHERE account_id = :account_id
    AND audit_event_id = ANY (:audit_event_id::text[]);
