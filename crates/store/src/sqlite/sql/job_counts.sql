-- name: count_open_jobs
-- Without the index named, the engine would read the whole table. Videos that are opened at a time are in an index of their own.
SELECT
    state,
    waiting_for,
    is_leased,
    sum(count) AS count,
    min(oldest_created_at) AS oldest_created_at,
    min(earliest_due_at) AS earliest_due_at
FROM (
    SELECT
        state,
        waiting_for,
        coalesce(lease_until > :now, 0) AS is_leased,
        count(*) AS count,
        min(created_at) AS oldest_created_at,
        min(due_at) AS earliest_due_at
    FROM jobs INDEXED BY jobs_by_due
    WHERE due_at IS NOT NULL
        AND due_class < 4
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT
        state,
        waiting_for,
        coalesce(lease_until > :now, 0),
        count(*),
        min(created_at),
        min(due_at)
    FROM jobs INDEXED BY jobs_by_publication
    WHERE due_class = 4
    GROUP BY 1, 2, 3)
GROUP BY 1, 2, 3;
