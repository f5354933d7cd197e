-- The due jobs of a connection in one class that no worker holds: ?1 account, ?2 connection, ?3 class, ?4 now, ?5 limit.
SELECT job_id, fence, due_at FROM jobs
WHERE account_id = ?1 AND connection_id = ?2 AND due_class = ?3 AND due_at <= ?4
    AND (lease_until IS NULL OR lease_until <= ?4)
ORDER BY due_at, job_id LIMIT ?5
