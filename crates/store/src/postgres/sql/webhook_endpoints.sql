-- name: find_webhook_endpoint
SELECT
    account_id, endpoint_id, created_at, updated_at, version, events, is_enabled, disabled_reason, failing_since,
    wrapped_key, envelope
FROM webhook_endpoints
WHERE account_id = :account_id
    AND endpoint_id = :endpoint_id;

-- name: list_webhook_endpoints
SELECT
    account_id, endpoint_id, created_at, updated_at, version, events, is_enabled, disabled_reason, failing_since,
    wrapped_key, envelope
FROM webhook_endpoints
WHERE account_id = :account_id
    AND endpoint_id > :after
ORDER BY endpoint_id
LIMIT :limit;

-- name: insert_webhook_endpoint
-- :operation is NULL unless the write completes an idempotency record.
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
), held AS (
    SELECT r.attempt
    FROM idempotency_records AS r
    WHERE r.account_id = :account_id
        AND r.operation = :operation
        AND r.idempotency_key = :idempotency_key
        AND r.attempt = :attempt
        AND r.answer IS NULL
        AND NOT r.is_released
    FOR UPDATE
), checks AS (
    SELECT
        EXISTS (SELECT 1 FROM active) AS is_active,
        :operation::text IS NULL OR EXISTS (SELECT 1 FROM held) AS is_held,
        clock.now
    FROM clock
), inserted AS (
    INSERT INTO webhook_endpoints (
        account_id, endpoint_id, created_at, updated_at, version, events, is_enabled, disabled_reason,
        failing_since, wrapped_key, envelope)
    SELECT
        :account_id, :endpoint_id::text, :created_at::bigint, :updated_at::bigint, :version::bigint,
        :events::bigint, :is_enabled::boolean, :disabled_reason::text, :failing_since::bigint,
        :wrapped_key::bytea, :envelope::bytea
    FROM checks
    WHERE checks.is_active
        AND checks.is_held
    RETURNING account_id
), completed AS (
    UPDATE idempotency_records AS r SET
        answer = :answer,
        answered_at = coalesce(:answered_at::bigint, checks.now)
    FROM checks
    CROSS JOIN inserted
    WHERE r.account_id = :account_id
        AND r.operation = :operation
        AND r.idempotency_key = :idempotency_key
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM inserted
)
SELECT is_active, is_held
FROM checks;

-- name: update_webhook_endpoint
-- :expected_failing_since is NULL if the update does not depend on it.
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
), updated AS (
    UPDATE webhook_endpoints AS e SET
        updated_at = :updated_at,
        version = :version,
        events = :events,
        is_enabled = :is_enabled,
        disabled_reason = :disabled_reason,
        failing_since = CASE WHEN NOT :clears_failing::boolean THEN e.failing_since END,
        wrapped_key = :wrapped_key,
        envelope = :envelope
    FROM active
    WHERE e.account_id = :account_id
        AND e.endpoint_id = :endpoint_id
        AND e.version = :expected_version
        AND (:expected_failing_since::bigint IS NULL OR e.failing_since = :expected_failing_since::bigint)
    RETURNING e.account_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM updated
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
SELECT EXISTS (SELECT 1 FROM active) AS is_active, count(*) AS written
FROM updated;

-- name: delete_webhook_endpoint
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
), deleted AS (
    DELETE FROM webhook_endpoints AS e
    USING active
    WHERE e.account_id = :account_id
        AND e.endpoint_id = :endpoint_id
    RETURNING e.account_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM deleted
)
SELECT EXISTS (SELECT 1 FROM active) AS is_active, count(*) AS written
FROM deleted;
