-- name: insert_audit_events
-- Each parameter is an array with one element for each event.
INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
SELECT account_id, event_id, at, api_key_id, remote, action, subject, refusal
FROM unnest(
    :account_id::text[], :event_id::text[], :event_at::bigint[], :event_api_key_id::text[], :event_remote::text[],
    :event_action::text[], :event_subject::text[], :event_refusal::text[])
    AS input (account_id, event_id, at, api_key_id, remote, action, subject, refusal)
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
SELECT account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal
FROM audit_events
WHERE account_id = :account_id
ORDER BY audit_event_id
LIMIT :limit;
