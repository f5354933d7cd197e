-- lowest application schema: 9
-- Jobs in the terms of the contract, and authenticated: `row_mac` covers every column of a job that an upload acts on. A job
-- of an earlier version has none until it is written next. What is left at Vimeo, and since when a create is unconfirmed,
-- have columns of their own. `due_class` makes the due jobs of each connection an index range: 0 started, 1 queued, 2 ended
-- with a webhook to deliver.
CREATE TABLE new_jobs (
    account_id            TEXT NOT NULL REFERENCES accounts (account_id),
    job_id                TEXT NOT NULL,
    connection_id         TEXT NOT NULL,
    source                TEXT NOT NULL,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    version               INTEGER NOT NULL CHECK (version >= 1),
    state                 TEXT NOT NULL,
    total_bytes           INTEGER CHECK (total_bytes >= 0),
    validator             TEXT,
    source_marks          TEXT,
    fetching              TEXT,
    sent_bytes            INTEGER NOT NULL CHECK (sent_bytes >= 0),
    bytes_per_second      INTEGER CHECK (bytes_per_second >= 0),
    video_number          INTEGER,
    orphan_number         INTEGER,
    deadline_at           INTEGER,
    probes                INTEGER NOT NULL CHECK (probes >= 0),
    restarts              INTEGER NOT NULL CHECK (restarts >= 0),
    ending                TEXT,
    kept                  TEXT,
    vimeo_link            TEXT,
    player_link           TEXT,
    failure_code          TEXT,
    failure_message       TEXT,
    -- Sentences, each followed by a line feed.
    warnings              TEXT NOT NULL,
    -- Numbers of videos, separated by spaces.
    undeleted             TEXT NOT NULL,
    unconfirmed_since     INTEGER,
    retry_count           INTEGER NOT NULL CHECK (retry_count >= 0),
    last_progress_at      INTEGER NOT NULL,
    refused_since         INTEGER,
    missing_since         INTEGER,
    webhook               TEXT NOT NULL,
    webhook_attempts      INTEGER NOT NULL CHECK (webhook_attempts >= 0),
    row_mac               BLOB,
    -- What the job waits for, for clients and for waking it.
    waiting_for           TEXT,
    is_connection_deleted INTEGER NOT NULL CHECK (is_connection_deleted IN (0, 1)),
    due_class             INTEGER NOT NULL CHECK (due_class BETWEEN 0 AND 2),
    -- When the job runs next; NULL: never again.
    due_at                INTEGER,
    lease_until           INTEGER,
    -- Increases each time the lease is taken or revoked.
    fence                 INTEGER NOT NULL CHECK (fence >= 0),
    PRIMARY KEY (account_id, job_id),
    CHECK (fetching IS NULL OR total_bytes IS NOT NULL),
    CHECK (validator IS NULL OR fetching IS NOT NULL),
    CHECK ((failure_code IS NULL) = (failure_message IS NULL)),
    CHECK ((ending IS NOT NULL) = (state = 'cleaning_up')),
    CHECK (due_at IS NOT NULL OR state IN ('completed', 'failed', 'cancelled')),
    CHECK (lease_until IS NULL OR due_at IS NOT NULL)
) STRICT;

INSERT INTO new_jobs
SELECT account_id, job_id, connection_id, source, created_at, updated_at, version,
    CASE state
        WHEN 'accepted' THEN 'queued'
        WHEN 'sending' THEN 'uploading'
        WHEN 'finishing' THEN 'configuring'
        WHEN 'abandoning' THEN 'cleaning_up'
        ELSE state
    END,
    total_bytes, validator, source_marks, fetching, sent_bytes, bytes_per_second, video_number, discarded_number,
    deadline_at, looks, restarts, end_state, NULL, vimeo_link, player_link, failure_code, failure_message, warnings, '',
    -- Whether a create was unconfirmed was not stored: a job that had asked Vimeo is searched for once.
    CASE WHEN state IN ('completed', 'failed', 'cancelled') THEN NULL ELSE created_at END,
    trouble_count, well_at, refused_since, missing_since, webhook, webhook_attempts, NULL, NULL, 0,
    CASE state WHEN 'completed' THEN 2 WHEN 'failed' THEN 2 WHEN 'cancelled' THEN 2 WHEN 'accepted' THEN 1 ELSE 0 END,
    due_at, lease_until, fence
FROM jobs;

DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;

-- For the workers: the due jobs of each connection.
CREATE INDEX jobs_by_due ON jobs (account_id, connection_id, due_class, due_at, job_id) WHERE due_at IS NOT NULL;
-- For the list of a connection's jobs.
CREATE INDEX jobs_by_connection ON jobs (account_id, connection_id, job_id);
-- For the number of running jobs.
CREATE INDEX jobs_by_lease ON jobs (account_id, lease_until) WHERE lease_until IS NOT NULL;
