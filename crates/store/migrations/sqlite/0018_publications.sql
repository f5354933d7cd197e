-- lowest application schema: 9
-- Publications: videos that are opened at a time, or whose file is replaced, and the text tracks, chapters and thumbnails that
-- must not be created twice. The class 4 has the jobs of videos that are opened at a time. An earlier version does not verify
-- the row of a job that uses any of this, and leaves it alone.
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
    -- Numbers of videos, or of versions, separated by spaces.
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
    due_class             INTEGER NOT NULL CHECK (due_class BETWEEN 0 AND 4),
    -- When the job runs next; NULL: never again.
    due_at                INTEGER,
    lease_until           INTEGER,
    -- Increases each time the lease is taken or revoked.
    fence                 INTEGER NOT NULL CHECK (fence >= 0),
    retry_of              TEXT,
    replaces              INTEGER,
    -- NULL: as earlier versions write it.
    request_format        INTEGER,
    publish_at            INTEGER,
    is_playable           INTEGER NOT NULL DEFAULT 0 CHECK (is_playable IN (0, 1)),
    parts_done            INTEGER NOT NULL DEFAULT 0 CHECK (parts_done >= 0),
    unique_request        TEXT,
    newest_picture        INTEGER,
    PRIMARY KEY (account_id, job_id),
    CHECK (fetching IS NULL OR total_bytes IS NOT NULL),
    CHECK (validator IS NULL OR fetching IS NOT NULL),
    CHECK ((failure_code IS NULL) = (failure_message IS NULL)),
    CHECK ((ending IS NOT NULL) = (state = 'cleaning_up')),
    CHECK (due_at IS NOT NULL OR state IN ('completed', 'failed', 'cancelled')),
    CHECK (lease_until IS NULL OR due_at IS NOT NULL)
) STRICT;

INSERT INTO new_jobs (
    account_id, job_id, connection_id, source, created_at, updated_at, version, state, total_bytes,
    validator, source_marks, fetching, sent_bytes, bytes_per_second, video_number, orphan_number,
    deadline_at, probes, restarts, ending, kept, vimeo_link, player_link, failure_code, failure_message,
    warnings, undeleted, unconfirmed_since, retry_count, last_progress_at, refused_since, missing_since,
    webhook, webhook_attempts, row_mac, waiting_for, is_connection_deleted, due_class, due_at, lease_until,
    fence, retry_of)
SELECT
    account_id, job_id, connection_id, source, created_at, updated_at, version, state, total_bytes,
    validator, source_marks, fetching, sent_bytes, bytes_per_second, video_number, orphan_number,
    deadline_at, probes, restarts, ending, kept, vimeo_link, player_link, failure_code, failure_message,
    warnings, undeleted, unconfirmed_since, retry_count, last_progress_at, refused_since, missing_since,
    webhook, webhook_attempts, row_mac, waiting_for, is_connection_deleted, due_class, due_at, lease_until,
    fence, retry_of
FROM jobs;

DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;

-- For the workers: the due jobs of each connection. Videos that wait for their time are not among them.
CREATE INDEX jobs_by_due ON jobs (account_id, connection_id, due_class, due_at, job_id)
    WHERE due_at IS NOT NULL AND due_class < 4;
-- For the workers: the videos to open, by their time.
CREATE INDEX jobs_by_publication ON jobs (due_at, account_id, job_id) WHERE due_class = 4;
-- For the deletion of a connection.
CREATE INDEX jobs_by_publication_of_connection ON jobs (account_id, connection_id) WHERE due_class = 4;
-- For the list of a connection's jobs.
CREATE INDEX jobs_by_connection ON jobs (account_id, connection_id, job_id);
-- For the number of running jobs.
CREATE INDEX jobs_by_lease ON jobs (account_id, lease_until) WHERE lease_until IS NOT NULL;
-- A job is retried once.
CREATE UNIQUE INDEX jobs_by_retried ON jobs (account_id, retry_of) WHERE retry_of IS NOT NULL;
-- For the sweep of ended jobs.
CREATE INDEX jobs_by_end ON jobs (updated_at) WHERE due_at IS NULL;
