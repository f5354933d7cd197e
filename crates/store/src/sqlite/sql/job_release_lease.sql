-- Releases a lease: ?1 account, ?2 job, ?3 fence, ?4 now, ?5 when the job runs next.
UPDATE jobs SET lease_until = NULL, due_at = ?5
WHERE account_id = ?1 AND job_id = ?2 AND fence = ?3 AND lease_until > ?4
