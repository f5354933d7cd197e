-- Instants come from the server's clock, unless :now has one.

-- name: lease_sweep
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
)
INSERT INTO sweeps AS s (name, lease_until, fence)
SELECT :name::text, clock.now + :lease_micros::bigint, 1
FROM clock
ON CONFLICT (name) DO UPDATE SET
    lease_until = excluded.lease_until,
    fence = s.fence + 1
WHERE s.lease_until <= excluded.lease_until - :lease_micros::bigint
RETURNING fence;

-- name: renew_sweep_lease
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
)
UPDATE sweeps AS s SET
    lease_until = clock.now + :lease_micros::bigint
FROM clock
WHERE s.name = :name
    AND s.fence = :fence
    AND s.lease_until > clock.now
RETURNING s.name;

-- name: delete_ended_jobs
-- Without a lock before the deletion, which repeats the condition.
WITH clock AS (
    SELECT
        coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) - :kept_micros::bigint AS until
), ended AS MATERIALIZED (
    SELECT j.account_id, j.job_id, clock.until
    FROM jobs AS j
    CROSS JOIN clock
    WHERE j.due_at IS NULL
        AND j.updated_at <= clock.until
        AND j.webhook <> 'waiting'
    ORDER BY j.updated_at
    LIMIT :limit
)
DELETE FROM jobs AS j
USING ended
WHERE j.account_id = ended.account_id
    AND j.job_id = ended.job_id
    AND j.due_at IS NULL
    AND j.updated_at <= ended.until
    AND j.webhook <> 'waiting'
RETURNING j.account_id, j.job_id;

-- name: delete_secrets_of_ended_jobs
-- Array parameters have one element for each job, except for :accounts, which has each account once.
DELETE FROM job_secrets AS s
USING unnest(:account_id::text[], :job_id::text[]) AS input (account_id, job_id)
WHERE s.account_id = ANY (:accounts::text[])
    AND s.account_id = input.account_id
    AND s.job_id = input.job_id;

-- name: delete_kept_secrets
WITH clock AS (
    SELECT
        coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) - :kept_micros::bigint AS until
), kept AS MATERIALIZED (
    SELECT s.account_id, s.job_id, s.part, clock.until
    FROM job_secrets AS s
    CROSS JOIN clock
    WHERE s.kept_since <= clock.until
    ORDER BY s.kept_since
    LIMIT :limit
)
DELETE FROM job_secrets AS s
USING kept
WHERE s.account_id = kept.account_id
    AND s.job_id = kept.job_id
    AND s.part = kept.part
    AND s.kept_since <= kept.until
RETURNING s.job_id;

-- name: delete_ended_deliveries
-- What they kept sealed was wiped when they ended.
WITH clock AS (
    SELECT
        coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) - :kept_micros::bigint AS until
), ended AS MATERIALIZED (
    SELECT d.account_id, d.delivery_id, clock.until
    FROM webhook_deliveries AS d
    CROSS JOIN clock
    WHERE d.ended_at <= clock.until
    ORDER BY d.ended_at
    LIMIT :limit
)
DELETE FROM webhook_deliveries AS d
USING ended
WHERE d.account_id = ended.account_id
    AND d.delivery_id = ended.delivery_id
    AND d.ended_at <= ended.until
RETURNING d.delivery_id;

-- name: delete_ended_authorizations
-- What they kept sealed was wiped when they ended.
WITH clock AS (
    SELECT
        coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) - :kept_micros::bigint AS until
), ended AS MATERIALIZED (
    SELECT a.account_id, a.authorization_id, clock.until
    FROM authorizations AS a
    CROSS JOIN clock
    WHERE a.ended_at <= clock.until
    ORDER BY a.ended_at
    LIMIT :limit
)
DELETE FROM authorizations AS a
USING ended
WHERE a.account_id = ended.account_id
    AND a.authorization_id = ended.authorization_id
    AND a.ended_at <= ended.until
RETURNING a.authorization_id;
