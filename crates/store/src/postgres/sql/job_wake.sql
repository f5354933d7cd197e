-- $1 account, $2 connection, $3 what they wait for, $4 now.
WITH clock AS (
    SELECT coalesce($4::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now),
chosen AS (
    SELECT * FROM (
        SELECT j.job_id, clock.now FROM jobs j, clock
        WHERE j.account_id = $1 AND j.connection_id = $2 AND j.due_at IS NOT NULL AND j.due_class < 2
            AND j.waiting_for = $3
        ORDER BY j.job_id FOR UPDATE OF j) AS chosen)
UPDATE jobs j SET due_at = chosen.now, waiting_for = NULL
FROM chosen WHERE j.account_id = $1 AND j.job_id = chosen.job_id
RETURNING j.job_id
