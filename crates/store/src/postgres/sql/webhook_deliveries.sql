-- Instants come from the server's clock, unless :now has one.

-- name: insert_webhook_test
-- The endpoint that alone receives the event must be enabled.
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
), target AS (
    SELECT e.account_id
    FROM webhook_endpoints AS e
    CROSS JOIN active
    WHERE e.account_id = :account_id
        AND e.endpoint_id = :endpoint_id
        AND e.is_enabled
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM target
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
FROM target;

-- name: list_due_deliveries
-- At most :limit of each receiver, in the order of the receivers. A loose scan of the index finds these, so that the deliveries
-- that wait behind the first ones cost nothing. The last row says in how many microseconds the next delivery is due.
WITH RECURSIVE clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), receivers AS (
    (SELECT account_id, receiver
    FROM webhook_deliveries
    WHERE due_at IS NOT NULL
    ORDER BY account_id, receiver
    LIMIT 1)
    UNION ALL
    SELECT next.account_id, next.receiver
    FROM receivers
    CROSS JOIN LATERAL (
        SELECT d.account_id, d.receiver
        FROM webhook_deliveries AS d
        WHERE d.due_at IS NOT NULL
            AND (d.account_id, d.receiver) > (receivers.account_id, receivers.receiver)
        ORDER BY d.account_id, d.receiver
        LIMIT 1) AS next
)
SELECT due.account_id, due.delivery_id, due.receiver, due.fence, due.attempts, due.due_at, NULL::bigint AS next_due_in
FROM clock
CROSS JOIN receivers
CROSS JOIN LATERAL (
    SELECT d.account_id, d.delivery_id, d.receiver, d.fence, d.attempts, d.due_at
    FROM webhook_deliveries AS d
    WHERE d.account_id = receivers.account_id
        AND d.receiver = receivers.receiver
        AND d.due_at <= clock.now
        AND (d.lease_until IS NULL OR d.lease_until <= clock.now)
    ORDER BY d.due_at, d.delivery_id
    LIMIT :limit) AS due
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, min(next.due_at - clock.now)
FROM clock
CROSS JOIN receivers
CROSS JOIN LATERAL (
    SELECT d.due_at
    FROM webhook_deliveries AS d
    WHERE d.account_id = receivers.account_id
        AND d.receiver = receivers.receiver
        AND d.due_at > clock.now
    ORDER BY d.due_at
    LIMIT 1) AS next
ORDER BY account_id, receiver, due_at, delivery_id;

-- name: lease_delivery
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
)
UPDATE webhook_deliveries AS d SET
    fence = d.fence + 1,
    lease_until = clock.now + :lease_micros::bigint
FROM clock
WHERE d.account_id = :account_id
    AND d.delivery_id = :delivery_id
    AND d.fence = :fence
    AND d.due_at <= clock.now
    AND (d.lease_until IS NULL OR d.lease_until <= clock.now)
RETURNING
    d.account_id, d.delivery_id, d.endpoint_id, d.job_id, d.event_id, d.event_type, d.created_at, d.status, d.attempts,
    d.last_attempt_at, d.last_result, d.last_status, d.last_duration_ms, d.due_at, d.ended_at,
    d.receiver, d.fence, d.body, d.body_mac;

-- name: find_delivery_secret
SELECT wrapped_key, envelope
FROM webhook_delivery_secrets
WHERE account_id = :account_id
    AND delivery_id = :delivery_id;

-- name: finish_delivery
-- :retry_micros is NULL if the delivery ends. :is_failing is NULL if nothing is known of the endpoint.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), finished AS (
    UPDATE webhook_deliveries AS d SET
        status = :status,
        attempts = :attempts,
        last_attempt_at = :last_attempt_at,
        last_result = :last_result,
        last_status = :last_status,
        last_duration_ms = :last_duration_ms,
        due_at = clock.now + :retry_micros::bigint,
        ended_at = CASE WHEN :retry_micros::bigint IS NULL THEN clock.now END,
        lease_until = NULL
    FROM clock
    WHERE d.account_id = :account_id
        AND d.delivery_id = :delivery_id
        AND d.fence = :fence
    RETURNING d.delivery_id, d.endpoint_id
), wiped AS (
    DELETE FROM webhook_delivery_secrets AS s
    USING finished
    WHERE s.account_id = :account_id
        AND s.delivery_id = finished.delivery_id
        AND :retry_micros::bigint IS NULL
), marked AS (
    UPDATE webhook_endpoints AS e SET
        failing_since = CASE WHEN :is_failing::boolean THEN :last_attempt_at::bigint END
    FROM finished
    WHERE e.account_id = :account_id
        AND e.endpoint_id = finished.endpoint_id
        AND :is_failing::boolean = (e.failing_since IS NULL)
)
SELECT count(*) AS written
FROM finished;

-- name: find_delivery
SELECT
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, status, attempts,
    last_attempt_at, last_result, last_status, last_duration_ms, due_at, ended_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND delivery_id = :delivery_id;

-- name: list_deliveries
-- By keyset: a search in the index and a scan from there, at any depth.
SELECT
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, status, attempts,
    last_attempt_at, last_result, last_status, last_duration_ms, due_at, ended_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND delivery_id < :before
    AND receiver <> 'operator'
    AND (:status = '' OR status = :status)
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: list_deliveries_of_endpoint
SELECT
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, status, attempts,
    last_attempt_at, last_result, last_status, last_duration_ms, due_at, ended_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND endpoint_id = :endpoint_id
    AND delivery_id < :before
    AND (:status = '' OR status = :status)
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: list_deliveries_of_job
SELECT
    account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, status, attempts,
    last_attempt_at, last_result, last_status, last_duration_ms, due_at, ended_at
FROM webhook_deliveries
WHERE account_id = :account_id
    AND job_id = :job_id
    AND delivery_id < :before
    AND receiver <> 'operator'
    AND (:endpoint_id = '' OR endpoint_id = :endpoint_id)
    AND (:status = '' OR status = :status)
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: redeliver_webhook
-- The lease is taken from the worker that has it.
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
    UPDATE webhook_deliveries AS d SET
        status = 'waiting',
        attempts = 0,
        due_at = active.now,
        ended_at = NULL,
        fence = d.fence + 1,
        lease_until = NULL
    FROM active
    WHERE d.account_id = :account_id
        AND d.delivery_id = :delivery_id
        AND CASE
            WHEN d.endpoint_id IS NULL THEN EXISTS (
                SELECT 1
                FROM webhook_delivery_secrets AS s
                WHERE s.account_id = :account_id
                    AND s.delivery_id = :delivery_id)
            ELSE EXISTS (
                SELECT 1
                FROM webhook_endpoints AS e
                WHERE e.account_id = :account_id
                    AND e.endpoint_id = d.endpoint_id
                    AND e.is_enabled)
            END
    RETURNING d.account_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM updated
)
SELECT EXISTS (SELECT 1 FROM active) AS is_active, count(*) AS written
FROM updated;

-- name: count_waiting_deliveries
SELECT count(*) AS count, min(due_at) AS earliest_due_at
FROM webhook_deliveries
WHERE due_at IS NOT NULL;
