-- lowest application schema: 1
-- Uploads as jobs that workers lease, their secrets, and the secrets that sign webhooks.
-- An older version that deletes a connection leaves its jobs unchanged: the worker finds that the connection is gone. It
-- cannot delete an account that has jobs.

-- A job outlives its connection, so that it does not refer to it. Names of states and the like are the program's: a
-- constraint that lists them could never be changed here.
CREATE TABLE jobs (
    account_id       TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    job_id           TEXT COLLATE "C" NOT NULL,
    connection_id    TEXT COLLATE "C" NOT NULL,
    source           TEXT COLLATE "C" NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    version          BIGINT NOT NULL CHECK (version >= 1),
    state            TEXT COLLATE "C" NOT NULL,
    -- What is known of the source's bytes: their number alone, or that and how they are read.
    total_bytes      BIGINT CHECK (total_bytes >= 0),
    validator        TEXT COLLATE "C",
    fetching         TEXT COLLATE "C",
    -- Stays as it was last, whatever becomes of the job.
    sent_bytes       BIGINT NOT NULL CHECK (sent_bytes >= 0),
    bytes_per_second BIGINT CHECK (bytes_per_second >= 0),
    video_number     BIGINT,
    discarded_number BIGINT,
    deadline_at      BIGINT,
    looks            BIGINT NOT NULL CHECK (looks >= 0),
    restarts         BIGINT NOT NULL CHECK (restarts >= 0),
    end_state        TEXT COLLATE "C",
    vimeo_link       TEXT COLLATE "C",
    player_link      TEXT COLLATE "C",
    failure_code     TEXT COLLATE "C",
    failure_message  TEXT COLLATE "C",
    -- Sentences, each with a line feed behind it.
    warnings         TEXT COLLATE "C" NOT NULL,
    trouble_count    BIGINT NOT NULL CHECK (trouble_count >= 0),
    well_at          BIGINT NOT NULL,
    webhook          TEXT COLLATE "C" NOT NULL,
    webhook_attempts BIGINT NOT NULL CHECK (webhook_attempts >= 0),
    -- When something is to be done; nothing: never again.
    due_at           BIGINT,
    lease_until      BIGINT,
    -- Counts up each time that the lease is taken, or taken away.
    fence            BIGINT NOT NULL CHECK (fence >= 0),
    PRIMARY KEY (account_id, job_id),
    CHECK (fetching IS NULL OR total_bytes IS NOT NULL),
    CHECK (validator IS NULL OR fetching IS NOT NULL),
    CHECK ((failure_code IS NULL) = (failure_message IS NULL)),
    CHECK ((end_state IS NOT NULL) = (state = 'abandoning')),
    CHECK (due_at IS NOT NULL OR state IN ('completed', 'failed', 'cancelled')),
    CHECK (lease_until IS NULL OR due_at IS NOT NULL)
);

-- For the poll for due jobs.
CREATE INDEX jobs_by_due ON jobs (due_at) WHERE due_at IS NOT NULL;
-- For the deletion of a connection: the jobs that are not over are among these.
CREATE INDEX jobs_by_open ON jobs (account_id, connection_id) WHERE due_at IS NOT NULL;
-- For the list of a connection's jobs.
CREATE INDEX jobs_by_connection ON jobs (account_id, connection_id, job_id);
-- For how many are running.
CREATE INDEX jobs_by_lease ON jobs (account_id, lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE job_secrets (
    account_id  TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    job_id      TEXT COLLATE "C" NOT NULL,
    -- What was asked for, the upload link, or the answer with the link that a repeated request gets.
    part        TEXT COLLATE "C" NOT NULL CHECK (part IN ('request', 'link', 'answer')),
    wrapped_key BYTEA NOT NULL CHECK (octet_length(wrapped_key) = 60),
    envelope    BYTEA NOT NULL,
    PRIMARY KEY (account_id, job_id, part)
);

CREATE TABLE webhook_secrets (
    account_id  TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    secret_id   TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    -- Webhooks are signed with it until then; nothing: it is the last one.
    retires_at  BIGINT,
    wrapped_key BYTEA NOT NULL CHECK (octet_length(wrapped_key) = 60),
    envelope    BYTEA NOT NULL,
    PRIMARY KEY (account_id, secret_id)
);
