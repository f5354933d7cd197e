-- How many jobs of each connection run: ?1 now, ?2 whether webhooks are counted, or uploads. Without the index named, the
-- engine would read every job in the order of the groups.
SELECT account_id, connection_id, count(*) FROM jobs INDEXED BY jobs_by_lease
WHERE lease_until > ?1 AND (due_class = 2) = ?2
GROUP BY account_id, connection_id
