-- name: lease_sweep
INSERT INTO sweeps (name, lease_until, fence)
VALUES (:name, :lease_until, 1)
ON CONFLICT (name) DO UPDATE SET
    lease_until = excluded.lease_until,
    fence = fence + 1
WHERE lease_until <= :now
RETURNING fence;

-- name: renew_sweep_lease
UPDATE sweeps SET
    lease_until = :lease_until
WHERE name = :name
    AND fence = :fence
    AND lease_until > :now;

-- In the next three: the jobs that ended first. Rows of one instant are in the order of their numbers.

-- name: wipe_sealing_keys_of_ended_jobs
UPDATE sealing_keys SET
    wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT s.sealing_key_id
    FROM (
        SELECT account_id, job_id
        FROM jobs
        WHERE due_at IS NULL
            AND updated_at <= :until
            AND webhook <> 'waiting'
        ORDER BY updated_at, rowid
        LIMIT :limit) AS j
    CROSS JOIN job_secrets AS s
        ON s.account_id = j.account_id
        AND s.job_id = j.job_id);

-- name: delete_secrets_of_ended_jobs
DELETE FROM job_secrets
WHERE rowid IN (
    SELECT s.rowid
    FROM (
        SELECT account_id, job_id
        FROM jobs
        WHERE due_at IS NULL
            AND updated_at <= :until
            AND webhook <> 'waiting'
        ORDER BY updated_at, rowid
        LIMIT :limit) AS j
    CROSS JOIN job_secrets AS s
        ON s.account_id = j.account_id
        AND s.job_id = j.job_id);

-- name: delete_ended_jobs
DELETE FROM jobs
WHERE rowid IN (
    SELECT rowid
    FROM jobs
    WHERE due_at IS NULL
        AND updated_at <= :until
        AND webhook <> 'waiting'
    ORDER BY updated_at, rowid
    LIMIT :limit);

-- name: wipe_kept_sealing_keys
UPDATE sealing_keys SET
    wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT sealing_key_id
    FROM job_secrets
    WHERE kept_since <= :until
    ORDER BY kept_since, rowid
    LIMIT :limit);

-- name: delete_kept_secrets
DELETE FROM job_secrets
WHERE rowid IN (
    SELECT rowid
    FROM job_secrets
    WHERE kept_since <= :until
    ORDER BY kept_since, rowid
    LIMIT :limit);

-- name: delete_ended_deliveries
-- What they kept sealed was wiped when they ended.
DELETE FROM webhook_deliveries
WHERE rowid IN (
    SELECT rowid
    FROM webhook_deliveries
    WHERE ended_at <= :until
    ORDER BY ended_at, rowid
    LIMIT :limit);

-- name: delete_ended_authorizations
-- What they kept sealed was wiped when they ended.
DELETE FROM authorizations
WHERE rowid IN (
    SELECT rowid
    FROM authorizations
    WHERE ended_at <= :until
    ORDER BY ended_at, rowid
    LIMIT :limit);
