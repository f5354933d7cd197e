-- name: find_api_key
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
    created_by, rotated_from, last_used_at
FROM api_keys
WHERE api_key_id = :api_key_id;

-- name: find_api_key_by_hash
-- With the limits of its account, and the instant of the lookup: the server's clock, unless the caller passes its own.
SELECT
    k.api_key_id, k.account_id, k.name, k.key_hash, k.last_four, k.created_at, k.expires_at, k.revoked_at, k.row_mac,
    k.scopes, k.created_by, k.rotated_from, k.last_used_at,
    a.max_requests_per_minute, a.max_key_requests_per_minute, a.max_connections, a.max_jobs_in_progress,
    a.max_idempotency_records, a.max_event_streams, a.max_webhook_endpoints,
    a.max_open_authorizations,
    coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS looked_at
FROM api_keys AS k
JOIN accounts AS a ON a.account_id = k.account_id
WHERE k.key_hash = :key_hash;

-- name: inspect_api_key_by_hash
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
    created_by, rotated_from, last_used_at
FROM api_keys
WHERE key_hash = :key_hash;

-- name: inspect_api_key_without_scopes
-- The same in a database of a schema before 10.
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, NULL::text AS scopes,
    NULL::text AS created_by, NULL::text AS rotated_from, NULL::bigint AS last_used_at
FROM api_keys
WHERE key_hash = :key_hash;

-- name: list_api_keys
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
    created_by, rotated_from, last_used_at
FROM api_keys
WHERE account_id = :account_id
ORDER BY created_at, api_key_id;

-- name: list_api_key_page
SELECT
    api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
    created_by, rotated_from, last_used_at
FROM api_keys
WHERE account_id = :account_id
    AND (created_at, api_key_id) > (:after_created_at, :after_api_key_id)
ORDER BY created_at, api_key_id
LIMIT :limit;

-- name: insert_api_key
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), active AS (
    SELECT clock.now
    FROM clock
    WHERE CASE
        WHEN :event_api_key_id::text IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = :account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = :account_id
                AND k.api_key_id = :event_api_key_id::text
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > clock.now))
        END
), inserted AS (
    INSERT INTO api_keys (
        api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
        created_by, rotated_from)
    SELECT
        :api_key_id, :account_id, :name::text, :key_hash::bytea, :last_four::text, :created_at::bigint,
        :expires_at::bigint, :revoked_at::bigint, :row_mac::bytea, :scopes::text, :created_by::text,
        :rotated_from::text
    FROM active
    ON CONFLICT (key_hash) DO NOTHING
    RETURNING account_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM inserted
)
SELECT
    EXISTS (SELECT 1 FROM active) AS is_active,
    (SELECT count(*) FROM inserted) AS written;

-- name: update_api_key
-- The account is locked: two that do not see each other could each be the last that may manage keys.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), active AS (
    SELECT clock.now
    FROM clock
    WHERE CASE
        WHEN :event_api_key_id::text IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = :account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = :account_id
                AND k.api_key_id = :event_api_key_id::text
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > clock.now))
        END
), allowed AS (
    SELECT active.now
    FROM active
    WHERE NOT :needs_manager::boolean
        OR EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = :account_id
                AND k.api_key_id <> :api_key_id
                AND k.revoked_at IS NULL
                -- One that expires earlier does not count.
                AND (k.expires_at IS NULL OR k.expires_at >= :expires_at::bigint)
                AND (k.scopes IS NULL OR strpos(k.scopes, :managing_scope::text) > 0))
), updated AS (
    UPDATE api_keys AS k SET
        name = :name,
        expires_at = :expires_at::bigint,
        revoked_at = :revoked_at::bigint,
        row_mac = :row_mac
    FROM allowed
    WHERE k.account_id = :account_id
        AND k.api_key_id = :api_key_id
        AND k.row_mac = :expected_row_mac
        -- Not if the successor exists: it was made by the same request before. The account is locked.
        AND NOT EXISTS (
            SELECT 1
            FROM api_keys AS n
            WHERE n.key_hash = :new_key_hash::bytea)
    RETURNING k.account_id
), inserted AS (
    INSERT INTO api_keys (
        api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac, scopes,
        created_by, rotated_from)
    SELECT
        :new_api_key_id::text, account_id, :new_name::text, :new_key_hash::bytea, :new_last_four::text,
        :new_created_at::bigint, :new_expires_at::bigint, NULL, :new_row_mac::bytea, :new_scopes::text,
        :new_created_by::text, :new_rotated_from::text
    FROM updated
    WHERE :new_api_key_id::text IS NOT NULL
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM updated
)
SELECT
    EXISTS (SELECT 1 FROM active) AS is_active,
    EXISTS (SELECT 1 FROM allowed) AS is_allowed,
    (SELECT count(*) FROM updated) AS written;

-- name: update_api_key_uses
-- The parameters are arrays with one element for each key.
WITH input AS (
    SELECT api_key_id, last_used_at
    FROM unnest(:api_key_id::text[], :last_used_at::bigint[]) AS input (api_key_id, last_used_at)
), locked AS (
    SELECT l.api_key_id
    FROM (
        SELECT k.api_key_id
        FROM api_keys AS k
        JOIN input ON input.api_key_id = k.api_key_id
        ORDER BY k.api_key_id
        FOR NO KEY UPDATE OF k) AS l
)
UPDATE api_keys AS k SET last_used_at = input.last_used_at
FROM input
JOIN locked USING (api_key_id)
WHERE k.api_key_id = input.api_key_id
    AND (k.last_used_at IS NULL OR k.last_used_at < input.last_used_at);
