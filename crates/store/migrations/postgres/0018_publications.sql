-- lowest application schema: 9
-- Publications: videos that are opened at a time, or whose file is replaced, and the text tracks, chapters and thumbnails that
-- must not be created twice. The class 4 has the jobs of videos that are opened at a time. A node of an earlier version does not
-- verify the row of a job that uses any of this, and leaves it alone.
ALTER TABLE jobs ADD COLUMN replaces BIGINT;
-- NULL: as earlier versions write it.
ALTER TABLE jobs ADD COLUMN request_format BIGINT;
ALTER TABLE jobs ADD COLUMN publish_at BIGINT;
ALTER TABLE jobs ADD COLUMN is_playable BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE jobs ADD COLUMN parts_done BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN unique_request TEXT COLLATE "C";
ALTER TABLE jobs ADD COLUMN newest_picture BIGINT;
ALTER TABLE jobs DROP CONSTRAINT jobs_due_class;
ALTER TABLE jobs ADD CONSTRAINT jobs_due_class CHECK (due_class BETWEEN 0 AND 4);

DROP INDEX jobs_by_due;
-- For the workers: the due jobs of each connection. Videos that wait for their time are not among them.
CREATE INDEX jobs_by_due ON jobs (account_id, connection_id, due_class, due_at, job_id)
    WHERE due_at IS NOT NULL AND due_class < 4;
-- For the workers: the videos to open, by their time.
CREATE INDEX jobs_by_publication ON jobs (due_at, account_id, job_id) WHERE due_class = 4;
-- For the deletion of a connection.
CREATE INDEX jobs_by_publication_of_connection ON jobs (account_id, connection_id) WHERE due_class = 4;
