-- Puts off due jobs: ?1 account, ?2 connection, ?3 now, ?4 when they run next, ?5 what they wait for, ?6 limit.
UPDATE jobs SET due_at = ?4, waiting_for = ?5
WHERE rowid IN (
    SELECT rowid FROM jobs
    WHERE account_id = ?1 AND connection_id = ?2 AND due_class < 2 AND due_at <= ?3
        AND (lease_until IS NULL OR lease_until <= ?3)
    LIMIT ?6)
