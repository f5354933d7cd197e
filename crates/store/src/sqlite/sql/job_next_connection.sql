-- The next connection after (?1, ?2) that has jobs with something to do.
SELECT account_id, connection_id FROM jobs
WHERE due_at IS NOT NULL AND (account_id, connection_id) > (?1, ?2)
ORDER BY account_id, connection_id LIMIT 1
