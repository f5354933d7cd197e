-- Takes a lease: ?1 account, ?2 job, ?3 the fence that the job must have, ?4 now, ?5 the end of the lease, ?6 and ?7 the
-- most running jobs of the account and of the connection.
UPDATE jobs SET fence = fence + 1, lease_until = ?5
WHERE account_id = ?1 AND job_id = ?2 AND fence = ?3 AND due_at <= ?4
    AND (lease_until IS NULL OR lease_until <= ?4)
    AND (SELECT count(*) FROM jobs r
        WHERE r.account_id = ?1 AND r.lease_until > ?4
            AND (r.due_class = 2) = (jobs.due_class = 2)) < ?6
    AND (SELECT count(*) FROM jobs r
        WHERE r.account_id = ?1 AND r.lease_until > ?4
            AND (r.due_class = 2) = (jobs.due_class = 2) AND r.connection_id = jobs.connection_id) < ?7
