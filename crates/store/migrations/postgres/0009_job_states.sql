-- lowest application schema: 9
-- Jobs in the terms of the contract, and authenticated: `row_mac` covers every column of a job that an upload acts on. A job
-- of an earlier version has none until it is written next. What is left at Vimeo, and since when a create is unconfirmed,
-- have columns of their own. `due_class` makes the due jobs of each connection an index range: 0 started, 1 queued, 2 ended
-- with a webhook to deliver.
ALTER TABLE jobs DROP CONSTRAINT jobs_check3;
ALTER TABLE jobs RENAME COLUMN discarded_number TO orphan_number;
ALTER TABLE jobs RENAME COLUMN looks TO probes;
ALTER TABLE jobs RENAME COLUMN end_state TO ending;
ALTER TABLE jobs RENAME COLUMN trouble_count TO retry_count;
ALTER TABLE jobs RENAME COLUMN well_at TO last_progress_at;
ALTER TABLE jobs ADD COLUMN kept TEXT COLLATE "C";
-- Numbers of videos, separated by spaces.
ALTER TABLE jobs ADD COLUMN undeleted TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN unconfirmed_since BIGINT;
ALTER TABLE jobs ADD COLUMN row_mac BYTEA;
-- What the job waits for, for clients and for waking it.
ALTER TABLE jobs ADD COLUMN waiting_for TEXT COLLATE "C";
ALTER TABLE jobs ADD COLUMN is_connection_deleted BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE jobs ADD COLUMN due_class BIGINT NOT NULL DEFAULT 0;

UPDATE jobs SET
    due_class = CASE
        WHEN state IN ('completed', 'failed', 'cancelled') THEN 2 WHEN state = 'accepted' THEN 1 ELSE 0 END,
    -- Whether a create was unconfirmed was not stored: a job that had asked Vimeo is searched for once.
    unconfirmed_since = CASE WHEN state IN ('completed', 'failed', 'cancelled') THEN NULL ELSE created_at END,
    state = CASE
        WHEN state = 'accepted' THEN 'queued'
        WHEN state = 'sending' THEN 'uploading'
        WHEN state = 'finishing' THEN 'configuring'
        WHEN state = 'abandoning' THEN 'cleaning_up'
        ELSE state
    END;

ALTER TABLE jobs ALTER COLUMN undeleted DROP DEFAULT;
ALTER TABLE jobs ALTER COLUMN is_connection_deleted DROP DEFAULT;
ALTER TABLE jobs ALTER COLUMN due_class DROP DEFAULT;
ALTER TABLE jobs ADD CONSTRAINT jobs_ending CHECK ((ending IS NOT NULL) = (state = 'cleaning_up'));
ALTER TABLE jobs ADD CONSTRAINT jobs_due_class CHECK (due_class BETWEEN 0 AND 2);

DROP INDEX jobs_by_due;
DROP INDEX jobs_by_open;
-- For the workers: the due jobs of each connection.
CREATE INDEX jobs_by_due ON jobs (account_id, connection_id, due_class, due_at, job_id) WHERE due_at IS NOT NULL;
