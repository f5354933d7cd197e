-- The connections are being deleted, one in each row of the arrays.
WITH given AS (
    SELECT account_id, connection_id, coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS given (account_id, connection_id, now)),
locked AS (
    SELECT * FROM (
        SELECT j.account_id, j.job_id, given.now FROM jobs j JOIN given USING (account_id, connection_id)
        WHERE j.account_id = ANY ($1::text[]) AND j.due_at IS NOT NULL AND j.due_class < 2
        ORDER BY j.account_id, j.job_id FOR UPDATE OF j) AS locked)
UPDATE jobs j SET is_connection_deleted = true, waiting_for = NULL, fence = j.fence + 1, lease_until = NULL,
    due_at = locked.now
FROM locked
WHERE j.account_id = ANY ($1::text[]) AND j.account_id = locked.account_id AND j.job_id = locked.job_id
RETURNING j.account_id, j.job_id, j.webhook = 'waiting' AS is_waiting
