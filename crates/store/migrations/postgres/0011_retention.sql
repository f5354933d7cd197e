-- lowest application schema: 9
-- What retention needs: which job repeats which, since when a request is kept only for a retry, and which node sweeps. An
-- older version refuses to run a job that repeats another one: its MAC covers `retry_of`. It does not wipe kept requests when
-- it deletes their connection: the sweep does that days later.
ALTER TABLE jobs ADD COLUMN retry_of TEXT COLLATE "C";
ALTER TABLE job_secrets ADD COLUMN kept_since BIGINT;

-- A job is retried once.
CREATE UNIQUE INDEX jobs_by_retried ON jobs (account_id, retry_of) WHERE retry_of IS NOT NULL;
-- For the sweep of ended jobs.
CREATE INDEX jobs_by_end ON jobs (updated_at) WHERE due_at IS NULL;
-- For the sweep of kept requests, and for the deletion of a connection.
CREATE INDEX job_secrets_by_kept ON job_secrets (kept_since) WHERE kept_since IS NOT NULL;
CREATE INDEX job_secrets_kept_by_account ON job_secrets (account_id, kept_since) WHERE kept_since IS NOT NULL;

-- One row for each kind of sweep, created by the first. Until `lease_until`, the node with the fence sweeps, or no node does.
CREATE TABLE sweeps (
    name        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    lease_until BIGINT NOT NULL,
    -- Increases each time the lease is taken.
    fence       BIGINT NOT NULL CHECK (fence >= 1)
);
