-- lowest application schema: 1
-- Uploads as jobs that workers lease, their secrets, and the secrets that sign webhooks.
-- An older version that deletes a connection leaves its jobs unchanged: the worker finds that the connection is gone. It
-- cannot delete an account that has jobs.

-- A job outlives its connection, so that it does not refer to it. Names of states and the like are the program's: a
-- constraint that lists them could never be changed here.
CREATE TABLE jobs (
    account_id       TEXT NOT NULL REFERENCES accounts (account_id),
    job_id           TEXT NOT NULL,
    connection_id    TEXT NOT NULL,
    source           TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    version          INTEGER NOT NULL CHECK (version >= 1),
    state            TEXT NOT NULL,
    -- What is known of the source's bytes: their number alone, or that and how they are read.
    total_bytes      INTEGER CHECK (total_bytes >= 0),
    validator        TEXT,
    fetching         TEXT,
    -- Stays as it was last, whatever becomes of the job.
    sent_bytes       INTEGER NOT NULL CHECK (sent_bytes >= 0),
    bytes_per_second INTEGER CHECK (bytes_per_second >= 0),
    video_number     INTEGER,
    discarded_number INTEGER,
    deadline_at      INTEGER,
    looks            INTEGER NOT NULL CHECK (looks >= 0),
    restarts         INTEGER NOT NULL CHECK (restarts >= 0),
    end_state        TEXT,
    vimeo_link       TEXT,
    player_link      TEXT,
    failure_code     TEXT,
    failure_message  TEXT,
    -- Sentences, each with a line feed behind it.
    warnings         TEXT NOT NULL,
    trouble_count    INTEGER NOT NULL CHECK (trouble_count >= 0),
    well_at          INTEGER NOT NULL,
    webhook          TEXT NOT NULL,
    webhook_attempts INTEGER NOT NULL CHECK (webhook_attempts >= 0),
    -- When something is to be done; nothing: never again.
    due_at           INTEGER,
    lease_until      INTEGER,
    -- Counts up each time that the lease is taken, or taken away.
    fence            INTEGER NOT NULL CHECK (fence >= 0),
    PRIMARY KEY (account_id, job_id),
    CHECK (fetching IS NULL OR total_bytes IS NOT NULL),
    CHECK (validator IS NULL OR fetching IS NOT NULL),
    CHECK ((failure_code IS NULL) = (failure_message IS NULL)),
    CHECK ((end_state IS NOT NULL) = (state = 'abandoning')),
    CHECK (due_at IS NOT NULL OR state IN ('completed', 'failed', 'cancelled')),
    CHECK (lease_until IS NULL OR due_at IS NOT NULL)
) STRICT;

-- For the poll for due jobs.
CREATE INDEX jobs_by_due ON jobs (due_at) WHERE due_at IS NOT NULL;
-- For the deletion of a connection: the jobs that are not over are among these.
CREATE INDEX jobs_by_open ON jobs (account_id, connection_id) WHERE due_at IS NOT NULL;
-- For the list of a connection's jobs.
CREATE INDEX jobs_by_connection ON jobs (account_id, connection_id, job_id);
-- For how many are running.
CREATE INDEX jobs_by_lease ON jobs (account_id, lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE job_secrets (
    account_id     TEXT NOT NULL REFERENCES accounts (account_id),
    job_id         TEXT NOT NULL,
    -- What was asked for, the upload link, or the answer with the link that a repeated request gets.
    part           TEXT NOT NULL CHECK (part IN ('request', 'link', 'answer')),
    sealing_key_id INTEGER NOT NULL REFERENCES sealing_keys (sealing_key_id),
    envelope       BLOB NOT NULL,
    PRIMARY KEY (account_id, job_id, part)
) STRICT;

CREATE TABLE webhook_secrets (
    account_id     TEXT NOT NULL REFERENCES accounts (account_id),
    secret_id      TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    -- Webhooks are signed with it until then; nothing: it is the last one.
    retires_at     INTEGER,
    sealing_key_id INTEGER NOT NULL REFERENCES sealing_keys (sealing_key_id),
    envelope       BLOB NOT NULL,
    PRIMARY KEY (account_id, secret_id)
) STRICT;
