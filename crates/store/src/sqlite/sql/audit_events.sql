-- name: insert_audit_event
INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
VALUES (:account_id, :audit_event_id, :at, :api_key_id, :remote, :action, :subject, :refusal);

-- name: list_audit_events
SELECT account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal
FROM audit_events
WHERE account_id = :account_id
ORDER BY audit_event_id
LIMIT :limit;
