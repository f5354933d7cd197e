-- lowest application schema: 9
-- Limits that an operator set for one account; NULL: the configuration applies, 0: no limit. An older version ignores them.
ALTER TABLE accounts ADD COLUMN max_requests_per_minute BIGINT;
ALTER TABLE accounts ADD COLUMN max_key_requests_per_minute BIGINT;
ALTER TABLE accounts ADD COLUMN max_connections BIGINT;
ALTER TABLE accounts ADD COLUMN max_jobs_in_progress BIGINT;
ALTER TABLE accounts ADD COLUMN max_idempotency_records BIGINT;
ALTER TABLE accounts ADD COLUMN max_event_streams BIGINT;
