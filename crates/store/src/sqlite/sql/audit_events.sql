-- name: insert_audit_event
INSERT INTO audit_events (
    account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
VALUES (
    :account_id, :audit_event_id, :at, :api_key_id, :actor_kind, :actor_name, :remote, :action, :subject, :refusal);

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
    LIMIT :scan)
WHERE (:action IS NULL OR action = :action)
    AND (:subject IS NULL OR subject = :subject)
    AND (:api_key_id IS NULL OR api_key_id = :api_key_id)
    AND (
        :actor_kind IS NULL
        OR :actor_kind = coalesce(
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
LIMIT 1 OFFSET :scan - 1;

-- name: list_unlinked_audit_events
SELECT account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal
FROM audit_events AS e
WHERE account_id = :account_id
    AND audit_event_id >= :first_id
    AND audit_event_id < :end_id
    AND NOT EXISTS (
        SELECT 1
        FROM audit_links AS l
        WHERE l.account_id = e.account_id
            AND l.audit_event_id = e.audit_event_id)
ORDER BY audit_event_id
LIMIT :limit;

-- name: list_audit_event_ids
SELECT
    audit_event_id,
    EXISTS (
        SELECT 1
        FROM audit_links AS l
        WHERE l.account_id = e.account_id
            AND l.audit_event_id = e.audit_event_id) AS is_linked
FROM audit_events AS e
WHERE account_id = :account_id
    AND audit_event_id > :after
ORDER BY audit_event_id
LIMIT :limit;

-- name: delete_audit_event
DELETE FROM audit_events
WHERE account_id = :account_id
    AND audit_event_id = :audit_event_id;
