-- $1 account, $2 connection, $3 now, $4 how much later they run, $5 what they wait for, $6 limit.
WITH clock AS (
    SELECT coalesce($3::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now),
chosen AS (
    SELECT * FROM (
        SELECT j.job_id, clock.now FROM jobs j, clock
        WHERE j.account_id = $1 AND j.connection_id = $2 AND j.due_class < 2 AND j.due_at <= clock.now
            AND (j.lease_until IS NULL OR j.lease_until <= clock.now)
        LIMIT $6 FOR UPDATE OF j SKIP LOCKED) AS chosen)
UPDATE jobs j SET due_at = chosen.now + $4::bigint, waiting_for = $5
FROM chosen WHERE j.account_id = $1 AND j.job_id = chosen.job_id
RETURNING j.job_id
