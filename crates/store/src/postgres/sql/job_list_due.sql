-- The due jobs of every connection, a few of each: the connections are found by a loose scan of the index, so that the jobs
-- that wait behind them cost nothing.
WITH RECURSIVE clock AS (
    SELECT coalesce($1::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now),
connections AS (
    (SELECT account_id, connection_id FROM jobs
        WHERE due_at IS NOT NULL ORDER BY account_id, connection_id LIMIT 1)
    UNION ALL
    SELECT next.account_id, next.connection_id FROM connections, LATERAL (
        SELECT j.account_id, j.connection_id FROM jobs j
        WHERE j.due_at IS NOT NULL
            AND (j.account_id, j.connection_id) > (connections.account_id, connections.connection_id)
        ORDER BY j.account_id, j.connection_id LIMIT 1) AS next)
SELECT due.account_id, due.job_id, due.connection_id, due.fence, due.due_class = 1 AS is_queued, due.due_at
FROM clock, connections, unnest(CASE WHEN $3::boolean THEN ARRAY[2] ELSE ARRAY[0, 1] END) AS class (number),
LATERAL (
    SELECT j.account_id, j.job_id, j.connection_id, j.fence, j.due_class, j.due_at FROM jobs j
    WHERE j.account_id = connections.account_id AND j.connection_id = connections.connection_id
        AND j.due_class = class.number AND j.due_at <= clock.now
        AND (j.lease_until IS NULL OR j.lease_until <= clock.now)
    ORDER BY j.due_at, j.job_id LIMIT $2) AS due
