-- name: count_open_jobs
-- Without the index named, the engine would read the whole table.
SELECT
    state,
    waiting_for,
    coalesce(lease_until > :now, 0) AS is_leased,
    count(*) AS count,
    min(created_at) AS oldest_created_at,
    min(due_at) AS earliest_due_at
FROM jobs INDEXED BY jobs_by_due
WHERE due_at IS NOT NULL
GROUP BY 1, 2, 3;
