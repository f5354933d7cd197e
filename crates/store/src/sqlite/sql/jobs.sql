-- name: find_job
SELECT
    account_id, job_id, connection_id, source, created_at, retry_of, replaces, request_format, updated_at,
    version, state, total_bytes,
    validator, source_marks, fetching, sent_bytes, bytes_per_second, video_number, orphan_number,
    deadline_at, probes, restarts, ending, kept, vimeo_link, player_link, failure_code, failure_message,
    warnings, undeleted, unconfirmed_since, retry_count, last_progress_at, refused_since, missing_since,
    webhook, webhook_attempts, waiting_for, is_connection_deleted, due_class, publish_at, is_playable,
    parts_done, unique_request, newest_picture
FROM jobs
WHERE account_id = :account_id
    AND job_id = :job_id;

-- name: find_retry
-- The job that repeats this one.
SELECT job_id
FROM jobs
WHERE account_id = :account_id
    AND retry_of = :job_id;

-- name: find_stored_job
-- One statement, so that the job, its MAC and its request are of one moment. A missing sealing key is read as a wiped one.
SELECT
    j.account_id, j.job_id, j.connection_id, j.source, j.created_at, j.retry_of, j.replaces,
    j.request_format, j.updated_at, j.version, j.state,
    j.total_bytes, j.validator, j.source_marks, j.fetching, j.sent_bytes, j.bytes_per_second,
    j.video_number, j.orphan_number, j.deadline_at, j.probes, j.restarts, j.ending, j.kept, j.vimeo_link,
    j.player_link, j.failure_code, j.failure_message, j.warnings, j.undeleted, j.unconfirmed_since,
    j.retry_count, j.last_progress_at, j.refused_since, j.missing_since, j.webhook, j.webhook_attempts,
    j.waiting_for, j.is_connection_deleted, j.due_class, j.publish_at, j.is_playable, j.parts_done,
    j.unique_request, j.newest_picture, j.row_mac, s.envelope, coalesce(k.wrapped_key,
    zeroblob(60)) AS wrapped_key
FROM jobs AS j
LEFT JOIN job_secrets AS s
    ON s.account_id = j.account_id
    AND s.job_id = j.job_id
    AND s.part = 'request'
LEFT JOIN sealing_keys AS k USING (sealing_key_id)
WHERE j.account_id = :account_id
    AND j.job_id = :job_id;

-- name: find_guarded_columns
SELECT fence, version, lease_until
FROM jobs
WHERE account_id = :account_id
    AND job_id = :job_id;

-- name: list_jobs
SELECT
    account_id, job_id, connection_id, source, created_at, retry_of, replaces, request_format, updated_at,
    version, state, total_bytes,
    validator, source_marks, fetching, sent_bytes, bytes_per_second, video_number, orphan_number,
    deadline_at, probes, restarts, ending, kept, vimeo_link, player_link, failure_code, failure_message,
    warnings, undeleted, unconfirmed_since, retry_count, last_progress_at, refused_since, missing_since,
    webhook, webhook_attempts, waiting_for, is_connection_deleted, due_class, publish_at, is_playable,
    parts_done, unique_request, newest_picture
FROM jobs
WHERE account_id = :account_id
    AND job_id < :before
    AND created_at >= :created_from
    AND created_at < :created_until
    AND (:phase = '' OR state = :phase)
    AND (:status = '' OR :status = CASE
        WHEN state IN ('completed', 'failed') THEN state
        WHEN state = 'cancelled' OR ending = 'cancelled' OR is_connection_deleted THEN 'cancelled'
        ELSE 'in-progress'
    END)
ORDER BY job_id DESC
LIMIT :limit;

-- name: list_jobs_of_connection
SELECT
    account_id, job_id, connection_id, source, created_at, retry_of, replaces, request_format, updated_at,
    version, state, total_bytes,
    validator, source_marks, fetching, sent_bytes, bytes_per_second, video_number, orphan_number,
    deadline_at, probes, restarts, ending, kept, vimeo_link, player_link, failure_code, failure_message,
    warnings, undeleted, unconfirmed_since, retry_count, last_progress_at, refused_since, missing_since,
    webhook, webhook_attempts, waiting_for, is_connection_deleted, due_class, publish_at, is_playable,
    parts_done, unique_request, newest_picture
FROM jobs
WHERE account_id = :account_id
    AND connection_id = :connection_id
    AND job_id < :before
    AND created_at >= :created_from
    AND created_at < :created_until
    AND (:phase = '' OR state = :phase)
    AND (:status = '' OR :status = CASE
        WHEN state IN ('completed', 'failed') THEN state
        WHEN state = 'cancelled' OR ending = 'cancelled' OR is_connection_deleted THEN 'cancelled'
        ELSE 'in-progress'
    END)
ORDER BY job_id DESC
LIMIT :limit;

-- name: count_jobs
-- Only the newest: no index has the status, so the cost grows with the number of jobs.
SELECT
    CASE
        WHEN state IN ('completed', 'failed') THEN state
        WHEN state = 'cancelled' OR ending = 'cancelled' OR is_connection_deleted THEN 'cancelled'
        ELSE 'in-progress'
    END AS status,
    count(*) AS count
FROM (
    SELECT state, ending, is_connection_deleted
    FROM jobs
    WHERE account_id = :account_id
    ORDER BY job_id DESC
    LIMIT :newest
) AS newest
GROUP BY 1;

-- name: count_running_jobs
-- Of each connection: its webhooks, or its uploads. Without the index named, the engine would read every job in the order of
-- the groups.
SELECT account_id, connection_id, count(*) AS count
FROM jobs INDEXED BY jobs_by_lease
WHERE lease_until > :now
    AND due_class / 2 = :work
GROUP BY account_id, connection_id;

-- name: find_next_connection
-- The next connection that has jobs with something to do. A comparison of both columns at once would read all jobs of the
-- connection before it.
SELECT account_id, connection_id
FROM (
    SELECT account_id, connection_id
    FROM (
        SELECT account_id, connection_id
        FROM jobs
        WHERE due_at IS NOT NULL
            AND due_class < 4
            AND account_id = :account_id
            AND connection_id > :connection_id
        ORDER BY connection_id
        LIMIT 1)
    UNION ALL
    SELECT account_id, connection_id
    FROM (
        SELECT account_id, connection_id
        FROM jobs
        WHERE due_at IS NOT NULL
            AND due_class < 4
            AND account_id > :account_id
        ORDER BY account_id, connection_id
        LIMIT 1))
ORDER BY account_id, connection_id
LIMIT 1;

-- name: list_due_jobs_of_connection
-- Those in one class that no worker has.
SELECT job_id, fence, due_at
FROM jobs
WHERE account_id = :account_id
    AND connection_id = :connection_id
    AND due_class = :due_class
    AND due_class < 4
    AND due_at <= :now
    AND (lease_until IS NULL OR lease_until <= :now)
ORDER BY due_at, job_id
LIMIT :limit;

-- name: list_due_publications
-- Of all accounts, the earliest first. Videos that wait for their time cost nothing.
SELECT account_id, connection_id, job_id, fence
FROM jobs
WHERE due_class = 4
    AND due_at <= :now
    AND (lease_until IS NULL OR lease_until <= :now)
ORDER BY due_at, account_id, job_id
LIMIT :limit;

-- name: find_fence_of_due_job
SELECT fence
FROM jobs
WHERE account_id = :account_id
    AND job_id = :job_id
    AND due_class / 2 = :work
    AND due_at <= :now
    AND (lease_until IS NULL OR lease_until <= :now);

-- name: insert_job
INSERT INTO jobs (
    account_id, job_id, connection_id, source, created_at, retry_of, replaces, request_format, updated_at,
    version, state, total_bytes,
    validator, source_marks, fetching, sent_bytes, bytes_per_second, video_number, orphan_number,
    deadline_at, probes, restarts, ending, kept, vimeo_link, player_link, failure_code, failure_message,
    warnings, undeleted, unconfirmed_since, retry_count, last_progress_at, refused_since, missing_since,
    webhook, webhook_attempts, waiting_for, is_connection_deleted, due_class, publish_at, is_playable,
    parts_done, unique_request, newest_picture, row_mac, due_at, lease_until,
    fence)
VALUES (
    :account_id, :job_id, :connection_id, :source, :created_at, :retry_of, :replaces, :request_format,
    :updated_at, :version, :state, :total_bytes,
    :validator, :source_marks, :fetching, :sent_bytes, :bytes_per_second, :video_number, :orphan_number,
    :deadline_at, :probes, :restarts, :ending, :kept, :vimeo_link, :player_link, :failure_code,
    :failure_message, :warnings, :undeleted, :unconfirmed_since, :retry_count, :last_progress_at,
    :refused_since, :missing_since, :webhook, :webhook_attempts, :waiting_for, :is_connection_deleted,
    :due_class, :publish_at, :is_playable, :parts_done, :unique_request, :newest_picture, :row_mac, :due_at, :lease_until, :fence);

-- name: update_job
UPDATE jobs SET
    updated_at = :updated_at,
    version = :version,
    state = :state,
    total_bytes = :total_bytes,
    validator = :validator,
    source_marks = :source_marks,
    fetching = :fetching,
    sent_bytes = coalesce(:sent_bytes, sent_bytes),
    bytes_per_second = :bytes_per_second,
    video_number = :video_number,
    orphan_number = :orphan_number,
    deadline_at = :deadline_at,
    probes = :probes,
    restarts = :restarts,
    ending = :ending,
    kept = :kept,
    vimeo_link = :vimeo_link,
    player_link = :player_link,
    failure_code = :failure_code,
    failure_message = :failure_message,
    warnings = :warnings,
    undeleted = :undeleted,
    unconfirmed_since = :unconfirmed_since,
    retry_count = :retry_count,
    last_progress_at = :last_progress_at,
    refused_since = :refused_since,
    missing_since = :missing_since,
    webhook = :webhook,
    webhook_attempts = :webhook_attempts,
    waiting_for = :waiting_for,
    is_connection_deleted = :is_connection_deleted,
    due_class = :due_class,
    publish_at = :publish_at,
    is_playable = :is_playable,
    parts_done = :parts_done,
    unique_request = :unique_request,
    newest_picture = :newest_picture,
    row_mac = :row_mac,
    due_at = :due_at,
    lease_until = :lease_until,
    fence = :fence
WHERE account_id = :account_id
    AND job_id = :job_id;

-- name: lease_job
-- Takes a lease, if the job still has the :fence and the limits of its account and connection allow one more.
UPDATE jobs SET
    fence = fence + 1,
    lease_until = :lease_until
WHERE account_id = :account_id
    AND job_id = :job_id
    AND fence = :fence
    AND due_at <= :now
    AND (lease_until IS NULL OR lease_until <= :now)
    AND (
        SELECT count(*)
        FROM jobs AS r
        WHERE r.account_id = :account_id
            AND r.lease_until > :now
            AND r.due_class / 2 = jobs.due_class / 2) < :per_account
    AND (
        SELECT count(*)
        FROM jobs AS r
        WHERE r.account_id = :account_id
            AND r.lease_until > :now
            AND r.due_class / 2 = jobs.due_class / 2
            AND r.connection_id = jobs.connection_id) < :per_connection;

-- name: renew_lease
-- The progress is written only if the job still has the version that it belongs to.
UPDATE jobs SET
    lease_until = :lease_until,
    sent_bytes = CASE WHEN version = :version THEN :sent_bytes ELSE sent_bytes END,
    row_mac = CASE WHEN version = :version THEN :row_mac ELSE row_mac END,
    bytes_per_second = CASE WHEN version = :version THEN :bytes_per_second ELSE bytes_per_second END
WHERE account_id = :account_id
    AND job_id = :job_id
    AND fence = :fence
    AND lease_until > :now;

-- name: release_lease
UPDATE jobs SET
    lease_until = NULL,
    due_at = :due_at
WHERE account_id = :account_id
    AND job_id = :job_id
    AND fence = :fence
    AND lease_until > :now;

-- name: defer_jobs
-- Puts off due jobs of a connection that no worker has.
UPDATE jobs SET
    due_at = :due_at,
    waiting_for = :waiting_for
WHERE rowid IN (
    SELECT rowid
    FROM jobs
    WHERE account_id = :account_id
        AND connection_id = :connection_id
        AND due_class BETWEEN :least_class AND 1
        AND due_class < 4
        AND due_at <= :now
        AND (lease_until IS NULL OR lease_until <= :now)
    LIMIT :limit);

-- name: wake_jobs
-- Makes the jobs of a connection due that wait for this.
UPDATE jobs SET
    due_at = :now,
    waiting_for = NULL
WHERE rowid IN (
    SELECT rowid
    FROM jobs
    WHERE account_id = :account_id
        AND connection_id = :connection_id
        AND due_at IS NOT NULL
        AND due_class < 4
        AND due_class <> 2
        AND waiting_for = :waiting_for
    UNION ALL
    SELECT rowid
    FROM jobs
    WHERE account_id = :account_id
        AND connection_id = :connection_id
        AND due_class = 4
        AND waiting_for = :waiting_for);

-- name: mark_jobs_of_deleted_connection
UPDATE jobs SET
    is_connection_deleted = 1,
    waiting_for = NULL,
    fence = fence + 1,
    lease_until = NULL,
    due_at = :now
WHERE rowid IN (
    SELECT rowid
    FROM jobs
    WHERE account_id = :account_id
        AND connection_id = :connection_id
        AND due_at IS NOT NULL
        AND due_class < 4
        AND due_class <> 2
    UNION ALL
    SELECT rowid
    FROM jobs
    WHERE account_id = :account_id
        AND connection_id = :connection_id
        AND due_class = 4);

-- name: delete_jobs_of_account
DELETE FROM jobs
WHERE rowid IN (
    SELECT rowid
    FROM jobs
    WHERE account_id = :account_id
    ORDER BY job_id
    LIMIT :limit);

-- name: insert_secret
INSERT INTO job_secrets (account_id, job_id, part, sealing_key_id, envelope)
VALUES (:account_id, :job_id, :part, :sealing_key_id, :envelope);

-- name: retain_request
-- While the connection exists: no other one can use the request.
UPDATE job_secrets SET kept_since = :kept_since
WHERE account_id = :account_id
    AND job_id = :job_id
    AND part = 'request'
    AND EXISTS (
        SELECT 1
        FROM connections
        WHERE account_id = :account_id
            AND connection_id = :connection_id);

-- name: delete_secret
DELETE FROM job_secrets
WHERE account_id = :account_id
    AND job_id = :job_id
    AND part = :part
RETURNING sealing_key_id;

-- name: find_secret
-- A missing sealing key is read as a wiped one: the secret is there and cannot be decrypted.
SELECT s.envelope, coalesce(k.wrapped_key, zeroblob(60)) AS wrapped_key
FROM job_secrets AS s
LEFT JOIN sealing_keys AS k USING (sealing_key_id)
WHERE s.account_id = :account_id
    AND s.job_id = :job_id
    AND s.part = :part;

-- In the next two: the secrets that the jobs of a deleted connection no longer need. A webhook that waits still needs the
-- request. The cross join keeps its order: an account may have many more jobs than the connection.

-- name: wipe_sealing_keys_of_connection
UPDATE sealing_keys SET
    wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT s.sealing_key_id
    FROM (
        SELECT account_id, job_id, webhook
        FROM jobs
        WHERE account_id = :account_id
            AND connection_id = :connection_id
            AND due_at IS NOT NULL
            AND due_class < 4
            AND due_class <> 2
        UNION ALL
        SELECT account_id, job_id, webhook
        FROM jobs
        WHERE account_id = :account_id
            AND connection_id = :connection_id
            AND due_class = 4) AS j
    CROSS JOIN job_secrets AS s
        ON s.account_id = j.account_id
        AND s.job_id = j.job_id
    WHERE s.part <> 'request'
        OR j.webhook <> 'waiting');

-- name: delete_secrets_of_connection
DELETE FROM job_secrets
WHERE rowid IN (
    SELECT s.rowid
    FROM (
        SELECT account_id, job_id, webhook
        FROM jobs
        WHERE account_id = :account_id
            AND connection_id = :connection_id
            AND due_at IS NOT NULL
            AND due_class < 4
            AND due_class <> 2
        UNION ALL
        SELECT account_id, job_id, webhook
        FROM jobs
        WHERE account_id = :account_id
            AND connection_id = :connection_id
            AND due_class = 4) AS j
    CROSS JOIN job_secrets AS s
        ON s.account_id = j.account_id
        AND s.job_id = j.job_id
    WHERE s.part <> 'request'
        OR j.webhook <> 'waiting');

-- In the next two: the requests that the failed jobs of a deleted connection kept for a retry.

-- name: wipe_kept_sealing_keys_of_connection
UPDATE sealing_keys SET
    wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT s.sealing_key_id
    FROM job_secrets AS s INDEXED BY job_secrets_kept_by_account
    CROSS JOIN jobs AS j
        ON j.account_id = s.account_id
        AND j.job_id = s.job_id
    WHERE s.account_id = :account_id
        AND s.kept_since IS NOT NULL
        AND j.connection_id = :connection_id);

-- name: delete_kept_secrets_of_connection
DELETE FROM job_secrets
WHERE rowid IN (
    SELECT s.rowid
    FROM job_secrets AS s INDEXED BY job_secrets_kept_by_account
    CROSS JOIN jobs AS j
        ON j.account_id = s.account_id
        AND j.job_id = s.job_id
    WHERE s.account_id = :account_id
        AND s.kept_since IS NOT NULL
        AND j.connection_id = :connection_id);

-- name: wipe_sealing_keys_of_account
-- Of its first jobs.
UPDATE sealing_keys SET
    wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT sealing_key_id
    FROM job_secrets
    WHERE account_id = :account_id
        AND job_id IN (
            SELECT job_id
            FROM jobs
            WHERE account_id = :account_id
            ORDER BY job_id
            LIMIT :limit));

-- name: delete_secrets_of_account
DELETE FROM job_secrets
WHERE account_id = :account_id
    AND job_id IN (
        SELECT job_id
        FROM jobs
        WHERE account_id = :account_id
        ORDER BY job_id
        LIMIT :limit);
