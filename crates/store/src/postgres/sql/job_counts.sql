-- name: count_open_jobs
SELECT
    state,
    waiting_for,
    coalesce(lease_until > coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint), false) AS is_leased,
    count(*) AS count,
    min(created_at) AS oldest_created_at,
    min(due_at) AS earliest_due_at
FROM jobs
WHERE due_at IS NOT NULL
GROUP BY 1, 2, 3;
