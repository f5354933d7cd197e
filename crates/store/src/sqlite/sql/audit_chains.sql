-- name: list_audited_accounts
-- Accounts, and deleted accounts whose events were linked.
SELECT account_id
FROM (
    SELECT account_id
    FROM (SELECT account_id FROM accounts WHERE account_id > :after ORDER BY account_id LIMIT :limit)
    UNION
    SELECT account_id
    FROM (SELECT account_id FROM audit_chains WHERE account_id > :after ORDER BY account_id LIMIT :limit))
ORDER BY account_id
LIMIT :limit;

-- name: has_unlinked_events
-- Whether events after the last linked one have settled, or events after the last visit may be late ones.
SELECT
    EXISTS (
        SELECT 1
        FROM audit_events AS e
        WHERE e.account_id = :account_id
            AND e.audit_event_id < :settled
            AND e.audit_event_id > coalesce(
                (SELECT max(c.linked_event_id, c.checked_event_id) FROM audit_chains AS c WHERE c.account_id = :account_id), ''))
    OR EXISTS (
        SELECT 1
        FROM audit_events AS e
        WHERE e.account_id = :account_id
            AND e.audit_event_id < :late
            AND e.audit_event_id >= coalesce(
                (SELECT c.checked_event_id FROM audit_chains AS c WHERE c.account_id = :account_id), ''))
    AS has_unlinked;

-- name: find_audit_chain
SELECT
    account_id, version, position, link, linked_event_id, checked_event_id, deleted_position, deleted_link,
    updated_at, row_mac
FROM audit_chains
WHERE account_id = :account_id;

-- name: list_audit_chains
SELECT
    account_id, version, position, link, linked_event_id, checked_event_id, deleted_position, deleted_link,
    updated_at, row_mac
FROM audit_chains
WHERE account_id > :after
ORDER BY account_id
LIMIT :limit;

-- name: insert_audit_chain
INSERT INTO audit_chains (
    account_id, version, position, link, linked_event_id, checked_event_id, deleted_position, deleted_link,
    updated_at, row_mac)
VALUES (
    :account_id, :version, :position, :link, :linked_event_id, :checked_event_id, :deleted_position, :deleted_link,
    :updated_at, :row_mac)
ON CONFLICT (account_id) DO NOTHING;

-- name: update_audit_chain
UPDATE audit_chains SET
    version = :version,
    position = :position,
    link = :link,
    linked_event_id = :linked_event_id,
    checked_event_id = :checked_event_id,
    deleted_position = :deleted_position,
    deleted_link = :deleted_link,
    updated_at = :updated_at,
    row_mac = :row_mac
WHERE account_id = :account_id
    AND version = :expected_version;

-- name: insert_audit_link
INSERT INTO audit_links (account_id, audit_event_id, position, link)
VALUES (:account_id, :audit_event_id, :position, :link);

-- name: delete_audit_link
DELETE FROM audit_links
WHERE account_id = :account_id
    AND audit_event_id = :audit_event_id;

-- name: list_audit_links
SELECT
    l.audit_event_id AS linked_event_id, l.position, l.link, e.audit_event_id IS NOT NULL AS has_event,
    e.account_id, e.audit_event_id, e.at, e.api_key_id, e.actor_kind, e.actor_name, e.remote, e.action, e.subject, e.refusal
FROM audit_links AS l
LEFT JOIN audit_events AS e
    ON e.account_id = :account_id
    AND e.audit_event_id = l.audit_event_id
WHERE l.account_id = :account_id
    AND l.audit_event_id > :after
ORDER BY l.audit_event_id
LIMIT :limit;

-- name: list_audit_links_after
SELECT audit_event_id AS linked_event_id, position, link
FROM audit_links
WHERE account_id = :account_id
    AND audit_event_id < :end_id
    AND position > :position
    AND position <= :position + :limit
ORDER BY audit_event_id
LIMIT :limit;
