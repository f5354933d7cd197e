-- lowest application schema: 9
-- Limits that an operator set for one account; NULL: the configuration applies, 0: no limit. An older version ignores them.
ALTER TABLE accounts ADD COLUMN max_requests_per_minute INTEGER;
ALTER TABLE accounts ADD COLUMN max_key_requests_per_minute INTEGER;
ALTER TABLE accounts ADD COLUMN max_connections INTEGER;
ALTER TABLE accounts ADD COLUMN max_jobs_in_progress INTEGER;
ALTER TABLE accounts ADD COLUMN max_idempotency_records INTEGER;
ALTER TABLE accounts ADD COLUMN max_event_streams INTEGER;
