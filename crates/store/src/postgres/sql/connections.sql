-- name: find_connection
SELECT
    account_id, connection_id, name, description, is_enabled, client_identifier, created_at, updated_at, version,
    sealed_version
FROM connections
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: find_sealed_connection
SELECT
    account_id, connection_id, name, description, is_enabled, client_identifier, created_at, updated_at, version,
    sealed_version, envelope, wrapped_key
FROM connections
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: find_connection_id_by_name
SELECT connection_id
FROM connections
WHERE account_id = :account_id
    AND unique_name = :unique_name;

-- name: list_connections
-- By keyset: a search in the index and a scan from there, at any depth.
SELECT
    account_id, connection_id, name, description, is_enabled, client_identifier, created_at, updated_at, version,
    sealed_version
FROM connections
WHERE account_id = :account_id
    AND connection_id > :after
ORDER BY connection_id
LIMIT :limit;

-- name: list_connection_ids
SELECT connection_id
FROM connections
WHERE account_id = :account_id
    AND connection_id > :after
ORDER BY connection_id
LIMIT :limit;

-- name: find_last_connection_time
-- The last row of each account, which the index of the primary key returns first.
SELECT max(last.created_at) AS created_at
FROM accounts AS a
CROSS JOIN LATERAL (
    SELECT c.created_at
    FROM connections AS c
    WHERE c.account_id = a.account_id
    ORDER BY c.connection_id DESC
    LIMIT 1) AS last;

-- In the statements below, each parameter is an array with one element for each connection, except for :may_rename and for
-- :accounts, which has each account once. Each returns one row for each connection, in the order of the arrays. `active` are
-- the positions whose actor may act now: an API key while it is active, the operator while the account exists. Rows are locked
-- and inserted in the order of their keys, so that two statements cannot deadlock. Every tenant table has a filter on
-- account_id that is known when the statement is planned, because Citus refuses a join alone.

-- name: insert_connections
WITH input AS (
    SELECT
        account_id, connection_id, name, unique_name, description, is_enabled, client_identifier, created_at,
        updated_at, version, sealed_version, wrapped_key, envelope, health_status, checked_at, next_check_at,
        event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name, event_remote, event_action, event_subject, event_refusal,
        coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now, position
    FROM unnest(
        :account_id::text[], :connection_id::text[], :name::text[], :unique_name::text[], :description::text[],
        :is_enabled::boolean[], :client_identifier::text[], :created_at::bigint[], :updated_at::bigint[],
        :version::bigint[], :sealed_version::bigint[], :wrapped_key::bytea[], :envelope::bytea[],
        :health_status::text[], :checked_at::bigint[], :next_check_at::bigint[],
        :event_id::text[], :event_at::bigint[], :event_api_key_id::text[], :event_actor_kind::text[],
        :event_actor_name::text[], :event_remote::text[],
        :event_action::text[], :event_subject::text[], :event_refusal::text[], :now::bigint[])
        WITH ORDINALITY AS input (
            account_id, connection_id, name, unique_name, description,
            is_enabled, client_identifier, created_at, updated_at,
            version, sealed_version, wrapped_key, envelope,
            health_status, checked_at, next_check_at,
            event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name, event_remote,
            event_action, event_subject, event_refusal, now, position)
), active AS (
    SELECT input.position
    FROM input
    WHERE CASE
        WHEN input.event_api_key_id IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = input.account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = input.account_id
                AND k.api_key_id = input.event_api_key_id
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > input.now))
        END
), inserted AS (
    INSERT INTO connections (
        account_id, connection_id, name, unique_name, description, is_enabled, client_identifier, created_at,
        updated_at, version, sealed_version, wrapped_key, envelope)
    SELECT
        account_id, connection_id, name, unique_name, description, is_enabled, client_identifier, created_at,
        updated_at, version, sealed_version, wrapped_key, envelope
    FROM input
    JOIN active USING (position)
    ORDER BY account_id COLLATE "C", unique_name COLLATE "C", position
    ON CONFLICT DO NOTHING
    RETURNING account_id, connection_id
), observed AS (
    INSERT INTO connection_health (
        account_id, connection_id, status, since, checked_at, next_check_at, unanswered, revision)
    SELECT account_id, connection_id, health_status, created_at, checked_at, next_check_at, 0, 1
    FROM input
    JOIN inserted USING (account_id, connection_id)
    ORDER BY account_id COLLATE "C", connection_id COLLATE "C"
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name, event_remote,
        event_action, event_subject, event_refusal
    FROM input
    JOIN inserted USING (account_id, connection_id)
    ORDER BY account_id COLLATE "C", event_id COLLATE "C"
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
)
SELECT
    active.position IS NOT NULL AS is_active,
    true AS is_held,
    inserted.connection_id IS NOT NULL AS is_inserted
FROM input
LEFT JOIN active USING (position)
LEFT JOIN inserted USING (account_id, connection_id)
ORDER BY position;

-- name: insert_and_complete_connections
-- The same, where at least one connection completes an idempotency record. :operation is NULL for those that do not.
WITH input AS (
    SELECT
        account_id, connection_id, name, unique_name, description, is_enabled, client_identifier, created_at,
        updated_at, version, sealed_version, wrapped_key, envelope, health_status, checked_at, next_check_at,
        event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name, event_remote, event_action, event_subject, event_refusal,
        coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now,
        operation, idempotency_key, attempt, answer,
        coalesce(answered_at, (extract(epoch FROM now()) * 1000000)::bigint) AS answered_at, position
    FROM unnest(
        :account_id::text[], :connection_id::text[], :name::text[], :unique_name::text[], :description::text[],
        :is_enabled::boolean[], :client_identifier::text[], :created_at::bigint[], :updated_at::bigint[],
        :version::bigint[], :sealed_version::bigint[], :wrapped_key::bytea[], :envelope::bytea[],
        :health_status::text[], :checked_at::bigint[], :next_check_at::bigint[],
        :event_id::text[], :event_at::bigint[], :event_api_key_id::text[], :event_actor_kind::text[],
        :event_actor_name::text[], :event_remote::text[],
        :event_action::text[], :event_subject::text[], :event_refusal::text[], :now::bigint[],
        :operation::text[], :idempotency_key::text[], :attempt::bigint[], :answer::bytea[],
        :answered_at::bigint[])
        WITH ORDINALITY AS input (
            account_id, connection_id, name, unique_name, description,
            is_enabled, client_identifier, created_at, updated_at,
            version, sealed_version, wrapped_key, envelope,
            health_status, checked_at, next_check_at,
            event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name, event_remote,
            event_action, event_subject, event_refusal, now,
            operation, idempotency_key, attempt, answer,
            answered_at, position)
), active AS (
    SELECT input.position
    FROM input
    WHERE CASE
        WHEN input.event_api_key_id IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = input.account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = input.account_id
                AND k.api_key_id = input.event_api_key_id
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > input.now))
        END
), held AS (
    SELECT position
    FROM (
        SELECT input.position
        FROM input
        JOIN active USING (position)
        JOIN idempotency_records AS r
            ON r.account_id = input.account_id
            AND r.operation = input.operation
            AND r.idempotency_key = input.idempotency_key
            AND r.attempt = input.attempt
        WHERE r.account_id = ANY (:accounts::text[])
            AND r.answer IS NULL
            AND NOT r.is_released
        ORDER BY r.account_id, r.operation, r.idempotency_key
        FOR UPDATE OF r) AS locked
), inserted AS (
    INSERT INTO connections (
        account_id, connection_id, name, unique_name, description, is_enabled, client_identifier, created_at,
        updated_at, version, sealed_version, wrapped_key, envelope)
    SELECT
        account_id, connection_id, name, unique_name, description, is_enabled, client_identifier, created_at,
        updated_at, version, sealed_version, wrapped_key, envelope
    FROM input
    JOIN active USING (position)
    WHERE operation IS NULL OR position IN (SELECT position FROM held)
    ORDER BY account_id COLLATE "C", unique_name COLLATE "C", position
    ON CONFLICT DO NOTHING
    RETURNING account_id, connection_id
), completed AS (
    UPDATE idempotency_records AS r SET
        answer = input.answer,
        answered_at = input.answered_at
    FROM input
    JOIN inserted USING (account_id, connection_id)
    WHERE r.account_id = ANY (:accounts::text[])
        AND r.account_id = input.account_id
        AND r.operation = input.operation
        AND r.idempotency_key = input.idempotency_key
), observed AS (
    INSERT INTO connection_health (
        account_id, connection_id, status, since, checked_at, next_check_at, unanswered, revision)
    SELECT account_id, connection_id, health_status, created_at, checked_at, next_check_at, 0, 1
    FROM input
    JOIN inserted USING (account_id, connection_id)
    ORDER BY account_id COLLATE "C", connection_id COLLATE "C"
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name, event_remote,
        event_action, event_subject, event_refusal
    FROM input
    JOIN inserted USING (account_id, connection_id)
    ORDER BY account_id COLLATE "C", event_id COLLATE "C"
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
)
SELECT
    active.position IS NOT NULL AS is_active,
    operation IS NULL OR position IN (SELECT position FROM held) AS is_held,
    inserted.connection_id IS NOT NULL AS is_inserted
FROM input
LEFT JOIN active USING (position)
LEFT JOIN inserted USING (account_id, connection_id)
ORDER BY position;

-- name: update_connections
-- A NULL in :sealed_version, :wrapped_key and :envelope keeps the stored credentials.
WITH input AS (
    SELECT
        account_id, connection_id, expected_version, name, unique_name, description, is_enabled, client_identifier,
        updated_at, version, sealed_version, wrapped_key, envelope, event_id, event_at, event_api_key_id,
        event_actor_kind, event_actor_name, event_remote, event_action, event_subject, event_refusal,
        coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now, position
    FROM unnest(
        :account_id::text[], :connection_id::text[], :expected_version::bigint[], :name::text[],
        :unique_name::text[], :description::text[], :is_enabled::boolean[], :client_identifier::text[],
        :updated_at::bigint[], :version::bigint[], :sealed_version::bigint[], :wrapped_key::bytea[],
        :envelope::bytea[], :event_id::text[], :event_at::bigint[], :event_api_key_id::text[],
        :event_actor_kind::text[], :event_actor_name::text[], :event_remote::text[], :event_action::text[],
        :event_subject::text[], :event_refusal::text[],
        :now::bigint[])
        WITH ORDINALITY AS input (
            account_id, connection_id, expected_version, name,
            unique_name, description, is_enabled, client_identifier,
            updated_at, version, sealed_version, wrapped_key,
            envelope, event_id, event_at, event_api_key_id,
            event_actor_kind, event_actor_name, event_remote, event_action, event_subject, event_refusal,
            now, position)
), active AS (
    SELECT input.position
    FROM input
    WHERE CASE
        WHEN input.event_api_key_id IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = input.account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = input.account_id
                AND k.api_key_id = input.event_api_key_id
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > input.now))
        END
), locked AS (
    SELECT account_id, connection_id, version, unique_name
    FROM (
        SELECT c.account_id, c.connection_id, c.version, c.unique_name
        FROM connections AS c
        JOIN (input JOIN active USING (position))
            ON c.account_id = input.account_id
            AND c.connection_id = input.connection_id
        WHERE c.account_id = ANY (:accounts::text[])
        ORDER BY c.account_id, c.connection_id
        FOR UPDATE OF c) AS ordered
), updated AS (
    UPDATE connections AS c SET
        name = input.name,
        unique_name = input.unique_name,
        description = input.description,
        is_enabled = input.is_enabled,
        client_identifier = input.client_identifier,
        updated_at = input.updated_at,
        version = input.version,
        sealed_version = coalesce(input.sealed_version, c.sealed_version),
        wrapped_key = coalesce(input.wrapped_key, c.wrapped_key),
        envelope = coalesce(input.envelope, c.envelope)
    FROM input
    JOIN active USING (position)
    JOIN locked USING (account_id, connection_id)
    WHERE c.account_id = ANY (:accounts::text[])
        AND c.account_id = input.account_id
        AND c.connection_id = input.connection_id
        AND locked.version = input.expected_version
        AND (:may_rename::boolean OR locked.unique_name = input.unique_name)
    RETURNING c.account_id, c.connection_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name, event_remote,
        event_action, event_subject, event_refusal
    FROM input
    JOIN updated USING (account_id, connection_id)
    ORDER BY account_id COLLATE "C", event_id COLLATE "C"
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
)
SELECT
    active.position IS NOT NULL AS is_active,
    locked.version AS current,
    updated.connection_id IS NOT NULL AS is_updated
FROM input
LEFT JOIN active USING (position)
LEFT JOIN locked USING (account_id, connection_id)
LEFT JOIN updated USING (account_id, connection_id)
ORDER BY position;

-- name: delete_connections
WITH input AS (
    SELECT
        account_id, connection_id, event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name,
        event_remote, event_action, event_subject,
        event_refusal, coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now, position
    FROM unnest(
        :account_id::text[], :connection_id::text[], :event_id::text[], :event_at::bigint[],
        :event_api_key_id::text[], :event_actor_kind::text[], :event_actor_name::text[], :event_remote::text[],
        :event_action::text[], :event_subject::text[],
        :event_refusal::text[], :now::bigint[])
        WITH ORDINALITY AS input (
            account_id, connection_id, event_id, event_at,
            event_api_key_id, event_actor_kind, event_actor_name, event_remote, event_action, event_subject,
            event_refusal, now, position)
), active AS (
    SELECT input.position
    FROM input
    WHERE CASE
        WHEN input.event_api_key_id IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = input.account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = input.account_id
                AND k.api_key_id = input.event_api_key_id
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > input.now))
        END
), locked AS (
    SELECT account_id, connection_id
    FROM (
        SELECT c.account_id, c.connection_id
        FROM connections AS c
        JOIN (input JOIN active USING (position))
            ON c.account_id = input.account_id
            AND c.connection_id = input.connection_id
        WHERE c.account_id = ANY (:accounts::text[])
        ORDER BY c.account_id, c.connection_id
        FOR UPDATE OF c) AS ordered
), deleted AS (
    DELETE FROM connections AS c
    USING locked
    WHERE c.account_id = ANY (:accounts::text[])
        AND c.account_id = locked.account_id
        AND c.connection_id = locked.connection_id
    RETURNING c.account_id, c.connection_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, event_id, event_at, event_api_key_id, event_actor_kind, event_actor_name, event_remote,
        event_action, event_subject, event_refusal
    FROM input
    JOIN deleted USING (account_id, connection_id)
    ORDER BY account_id COLLATE "C", event_id COLLATE "C"
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
)
SELECT
    active.position IS NOT NULL AS is_active,
    deleted.connection_id IS NOT NULL AS is_deleted
FROM input
LEFT JOIN active USING (position)
LEFT JOIN deleted USING (account_id, connection_id)
ORDER BY position;
