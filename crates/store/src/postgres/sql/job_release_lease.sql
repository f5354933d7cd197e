-- Releases a lease: $1 account, $2 job, $3 fence, $4 now, $5 how much later the job runs next.
WITH clock AS (
    SELECT coalesce($4::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now)
UPDATE jobs j SET lease_until = NULL, due_at = clock.now + $5::bigint
FROM clock WHERE j.account_id = $1 AND j.job_id = $2 AND j.fence = $3 AND j.lease_until > clock.now
RETURNING j.job_id
