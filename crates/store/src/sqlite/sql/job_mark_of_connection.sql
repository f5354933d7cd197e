-- The connection is being deleted: ?1 account, ?2 connection, ?3 now.
UPDATE jobs SET is_connection_deleted = 1, waiting_for = NULL, fence = fence + 1, lease_until = NULL, due_at = ?3
WHERE account_id = ?1 AND connection_id = ?2 AND due_at IS NOT NULL AND due_class < 2
