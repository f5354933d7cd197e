-- Makes jobs due: ?1 account, ?2 connection, ?3 what they wait for, ?4 now.
UPDATE jobs SET due_at = ?4, waiting_for = NULL
WHERE account_id = ?1 AND connection_id = ?2 AND due_at IS NOT NULL AND due_class < 2 AND waiting_for = ?3
