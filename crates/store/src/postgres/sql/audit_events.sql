-- name: insert_audit_events
-- Each parameter is an array with one element for each event.
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
RETURNING audit_event_id;

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
