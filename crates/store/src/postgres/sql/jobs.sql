-- Instants come from the server's clock, unless :now has one. Jobs of several connections are locked in the order of their keys,
-- so that two statements cannot deadlock.

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
-- One statement, so that the job, its MAC and its request are of one moment.
SELECT
    j.account_id, j.job_id, j.connection_id, j.source, j.created_at, j.retry_of, j.replaces,
    j.request_format, j.updated_at, j.version, j.state,
    j.total_bytes, j.validator, j.source_marks, j.fetching, j.sent_bytes, j.bytes_per_second,
    j.video_number, j.orphan_number, j.deadline_at, j.probes, j.restarts, j.ending, j.kept, j.vimeo_link,
    j.player_link, j.failure_code, j.failure_message, j.warnings, j.undeleted, j.unconfirmed_since,
    j.retry_count, j.last_progress_at, j.refused_since, j.missing_since, j.webhook, j.webhook_attempts,
    j.waiting_for, j.is_connection_deleted, j.due_class, j.publish_at, j.is_playable, j.parts_done,
    j.unique_request, j.newest_picture, j.row_mac, s.wrapped_key, s.envelope
FROM jobs AS j
LEFT JOIN job_secrets AS s
    ON s.account_id = :account_id
    AND s.job_id = j.job_id
    AND s.part = 'request'
WHERE j.account_id = :account_id
    AND j.job_id = :job_id;

-- name: find_secret
SELECT wrapped_key, envelope
FROM job_secrets
WHERE account_id = :account_id
    AND job_id = :job_id
    AND part = :part;

-- name: find_secrets
SELECT part, wrapped_key, envelope
FROM job_secrets
WHERE account_id = :account_id
    AND job_id = :job_id;

-- name: list_jobs
-- By keyset: a search in the index and a scan from there, at any depth.
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
-- Of each connection: its webhooks, or its uploads.
SELECT account_id, connection_id, count(*) AS count
FROM jobs
WHERE lease_until > coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint)
    AND due_class / 2 = :work
GROUP BY account_id, connection_id;

-- name: list_due_jobs
-- At most :limit of each connection and class. A loose scan of the index finds the connections, so that the jobs that wait
-- behind the first ones cost nothing.
WITH RECURSIVE clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), connections AS (
    (SELECT account_id, connection_id
    FROM jobs
    WHERE due_at IS NOT NULL
        AND due_class < 4
    ORDER BY account_id, connection_id
    LIMIT 1)
    UNION ALL
    SELECT next.account_id, next.connection_id
    FROM connections
    CROSS JOIN LATERAL (
        SELECT j.account_id, j.connection_id
        FROM jobs AS j
        WHERE j.due_at IS NOT NULL
            AND j.due_class < 4
            AND (j.account_id, j.connection_id) > (connections.account_id, connections.connection_id)
        ORDER BY j.account_id, j.connection_id
        LIMIT 1) AS next
)
SELECT due.account_id, due.job_id, due.connection_id, due.fence, due.due_class = 1 AS is_queued, due.due_at
FROM clock
CROSS JOIN connections
CROSS JOIN unnest(CASE WHEN :work::bigint = 1 THEN ARRAY[2] ELSE ARRAY[0, 1] END) AS class (number)
CROSS JOIN LATERAL (
    SELECT j.account_id, j.job_id, j.connection_id, j.fence, j.due_class, j.due_at
    FROM jobs AS j
    WHERE j.account_id = connections.account_id
        AND j.connection_id = connections.connection_id
        AND j.due_class = class.number
        AND j.due_class < 4
        AND j.due_at <= clock.now
        AND (j.lease_until IS NULL OR j.lease_until <= clock.now)
    ORDER BY j.due_at, j.job_id
    LIMIT :limit) AS due;

-- name: list_due_publications
-- Of all accounts, the earliest first. Videos that wait for their time cost nothing.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
)
SELECT j.account_id, j.job_id, j.connection_id, j.fence, false AS is_queued, j.due_at
FROM jobs AS j
CROSS JOIN clock
WHERE j.due_class = 4
    AND j.due_at <= clock.now
    AND (j.lease_until IS NULL OR j.lease_until <= clock.now)
ORDER BY j.due_at, j.account_id, j.job_id
LIMIT :limit;

-- name: find_fence_of_due_job
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
)
SELECT j.fence
FROM jobs AS j
CROSS JOIN clock
WHERE j.account_id = :account_id
    AND j.job_id = :job_id
    AND j.due_class / 2 = :work
    AND j.due_at <= clock.now
    AND (j.lease_until IS NULL OR j.lease_until <= clock.now);

-- name: insert_job
-- :job is the row as JSON. :operation is NULL unless the write completes an idempotency record. The connection is locked, so
-- that its deletion either comes first or marks the job.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), held AS (
    SELECT r.attempt
    FROM idempotency_records AS r
    WHERE r.account_id = :account_id
        AND r.operation = :operation
        AND r.idempotency_key = :idempotency_key
        AND r.attempt = :attempt
        AND r.answer IS NULL
        AND NOT r.is_released
    FOR UPDATE
), checks AS (
    SELECT
        CASE
        WHEN :event_id::text IS NULL THEN true
        WHEN :event_api_key_id::text IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = :account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = :account_id
                AND k.api_key_id = :event_api_key_id
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > clock.now))
        END AS is_active,
        :operation::text IS NULL OR EXISTS (SELECT 1 FROM held) AS is_held,
        clock.now
    FROM clock
), connection AS (
    SELECT c.account_id
    FROM connections AS c
    WHERE c.account_id = :account_id
        AND c.connection_id = :connection_id
    FOR KEY SHARE
), inserted AS (
    -- A job is retried once.
    INSERT INTO jobs (
        account_id, job_id, connection_id, source, created_at, retry_of, replaces, request_format, updated_at,
    version, state, total_bytes,
        validator, source_marks, fetching, sent_bytes, bytes_per_second, video_number, orphan_number,
        deadline_at, probes, restarts, ending, kept, vimeo_link, player_link, failure_code, failure_message,
        warnings, undeleted, unconfirmed_since, retry_count, last_progress_at, refused_since, missing_since,
        webhook, webhook_attempts, waiting_for, is_connection_deleted, due_class, publish_at, is_playable,
    parts_done, unique_request, newest_picture, row_mac, due_at,
        lease_until, fence)
    SELECT
        input.account_id, input.job_id, input.connection_id, input.source, input.created_at,
        input.retry_of, input.replaces, input.request_format, input.updated_at, input.version, input.state, input.total_bytes, input.validator,
        input.source_marks, input.fetching, input.sent_bytes, input.bytes_per_second, input.video_number,
        input.orphan_number, input.deadline_at, input.probes, input.restarts, input.ending, input.kept,
        input.vimeo_link, input.player_link, input.failure_code, input.failure_message, input.warnings,
        input.undeleted, input.unconfirmed_since, input.retry_count, input.last_progress_at,
        input.refused_since, input.missing_since, input.webhook, input.webhook_attempts, input.waiting_for,
        input.is_connection_deleted, input.due_class, input.publish_at, coalesce(input.is_playable, false),
        coalesce(input.parts_done, 0), input.unique_request, input.newest_picture, :row_mac::bytea, checks.now, checks.now +
        :lease_micros::bigint, :fence::bigint
    FROM checks
    CROSS JOIN connection
    CROSS JOIN jsonb_populate_record(NULL::jobs, :job::text::jsonb) AS input
    WHERE checks.is_active
        AND checks.is_held
    ON CONFLICT DO NOTHING
    RETURNING account_id, job_id
), sealed AS (
    INSERT INTO job_secrets (account_id, job_id, part, wrapped_key, envelope)
    SELECT account_id, job_id, 'request', :wrapped_key::bytea, :envelope::bytea
    FROM inserted
), completed AS (
    UPDATE idempotency_records AS r SET
        answer = :answer,
        answered_at = coalesce(:answered_at::bigint, checks.now)
    FROM checks
    CROSS JOIN inserted
    WHERE r.account_id = :account_id
        AND r.operation = :operation
        AND r.idempotency_key = :idempotency_key
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM inserted
    WHERE :event_id::text IS NOT NULL
)
SELECT
    is_active, is_held, EXISTS (SELECT 1 FROM connection) AS is_connected,
    EXISTS (SELECT 1 FROM inserted) AS is_inserted
FROM checks;

-- name: update_job
-- With a :fence, the lease must be held. Without, the job must have the :version, and its lease is taken from the worker that
-- has it. :delivery_id is NULL unless the webhook of the job becomes a delivery. :replaced_part, :wrapped_key and :envelope are arrays, :wiped_part and :retained_part too. :event_id is NULL if there is
-- no audit event. A part is retained while the connection exists, which is locked before the job, so that its deletion either
-- comes first or finds the part.
-- A write of a secret also writes the job's row, so that concurrent writes conflict.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), held AS (
    SELECT r.attempt
    FROM idempotency_records AS r
    WHERE r.account_id = :account_id
        AND r.operation = :operation
        AND r.idempotency_key = :idempotency_key
        AND r.attempt = :attempt
        AND r.answer IS NULL
        AND NOT r.is_released
    FOR UPDATE
), connection AS (
    SELECT c.account_id
    FROM connections AS c
    WHERE c.account_id = :account_id
        AND c.connection_id = :connection_id
        AND cardinality(:retained_part::text[]) > 0
    FOR KEY SHARE
), checks AS (
    SELECT
        CASE
        WHEN :event_id::text IS NULL THEN true
        WHEN :event_api_key_id::text IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = :account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = :account_id
                AND k.api_key_id = :event_api_key_id
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > clock.now))
        END AS is_active,
        :operation::text IS NULL OR EXISTS (SELECT 1 FROM held) AS is_held,
        EXISTS (SELECT 1 FROM connection) AS is_connected,
        clock.now
    FROM clock
), updated AS (
    UPDATE jobs AS j SET
        updated_at = input.updated_at,
        version = input.version,
        state = input.state,
        total_bytes = input.total_bytes,
        validator = input.validator,
        source_marks = input.source_marks,
        fetching = input.fetching,
        sent_bytes = coalesce(input.sent_bytes, j.sent_bytes),
        bytes_per_second = input.bytes_per_second,
        video_number = input.video_number,
        orphan_number = input.orphan_number,
        deadline_at = input.deadline_at,
        probes = input.probes,
        restarts = input.restarts,
        ending = input.ending,
        kept = input.kept,
        vimeo_link = input.vimeo_link,
        player_link = input.player_link,
        failure_code = input.failure_code,
        failure_message = input.failure_message,
        warnings = input.warnings,
        undeleted = input.undeleted,
        unconfirmed_since = input.unconfirmed_since,
        retry_count = input.retry_count,
        last_progress_at = input.last_progress_at,
        refused_since = input.refused_since,
        missing_since = input.missing_since,
        webhook = input.webhook,
        webhook_attempts = input.webhook_attempts,
        waiting_for = input.waiting_for,
        is_connection_deleted = input.is_connection_deleted,
        due_class = input.due_class,
        publish_at = input.publish_at,
        is_playable = coalesce(input.is_playable, false),
        parts_done = coalesce(input.parts_done, 0),
        unique_request = input.unique_request,
        newest_picture = input.newest_picture,
        row_mac = :row_mac,
        due_at = greatest(checks.now + :due_in_micros::bigint, :due_not_before::bigint),
        lease_until = checks.now + :lease_micros::bigint,
        fence = CASE WHEN :fence::bigint IS NULL THEN j.fence + 1 ELSE j.fence END
    FROM checks
    CROSS JOIN jsonb_populate_record(NULL::jobs, :job::text::jsonb) AS input
    WHERE checks.is_active
        AND checks.is_held
        AND j.account_id = :account_id
        AND j.job_id = :job_id
        AND CASE WHEN :fence::bigint IS NULL
            THEN j.version = :version
            ELSE j.fence = :fence::bigint AND j.lease_until > checks.now
            END
    RETURNING j.account_id, j.job_id, j.updated_at, checks.is_connected
), replaced AS (
    INSERT INTO job_secrets (account_id, job_id, part, wrapped_key, envelope)
    SELECT updated.account_id, updated.job_id, input.part, input.wrapped_key, input.envelope
    FROM updated
    CROSS JOIN unnest(:replaced_part::text[], :wrapped_key::bytea[], :envelope::bytea[])
        AS input (part, wrapped_key, envelope)
    ORDER BY input.part COLLATE "C"
    ON CONFLICT (account_id, job_id, part) DO UPDATE SET
        wrapped_key = excluded.wrapped_key,
        envelope = excluded.envelope,
        kept_since = NULL
), wiped AS (
    DELETE FROM job_secrets AS s
    USING updated
    WHERE s.account_id = :account_id
        AND s.job_id = updated.job_id
        AND (s.part = ANY (:wiped_part::text[])
            OR s.part = ANY (:retained_part::text[]) AND NOT updated.is_connected)
), retained AS (
    UPDATE job_secrets AS s SET kept_since = updated.updated_at
    FROM updated
    WHERE s.account_id = :account_id
        AND s.job_id = updated.job_id
        AND s.part = ANY (:retained_part::text[])
        AND updated.is_connected
), delivered AS (
    INSERT INTO webhook_deliveries (
        account_id, delivery_id, job_id, event_id, event_type, created_at, receiver, status, attempts, due_at, fence)
    SELECT
        updated.account_id, :delivery_id::text, updated.job_id, :delivery_event_id::text, :delivery_type::text,
        checks.now, :delivery_receiver::text, 'waiting', 0, checks.now, 0
    FROM updated
    CROSS JOIN checks
    WHERE :delivery_id::text IS NOT NULL
), delivery_sealed AS (
    INSERT INTO webhook_delivery_secrets (account_id, delivery_id, wrapped_key, envelope)
    SELECT updated.account_id, :delivery_id::text, :delivery_wrapped_key::bytea, :delivery_envelope::bytea
    FROM updated
    WHERE :delivery_id::text IS NOT NULL
), completed AS (
    UPDATE idempotency_records AS r SET
        answer = :answer,
        answered_at = coalesce(:answered_at::bigint, checks.now)
    FROM checks
    CROSS JOIN updated
    WHERE r.account_id = :account_id
        AND r.operation = :operation
        AND r.idempotency_key = :idempotency_key
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM updated
    WHERE :event_id::text IS NOT NULL
    RETURNING account_id, audit_event_id, at
), announced AS (
    INSERT INTO webhook_deliveries (
        account_id, delivery_id, endpoint_id, job_id, event_id, event_type, created_at, body, body_mac, receiver,
        status, attempts, due_at, fence)
    SELECT
        e.account_id, audit_event_id || '-' || e.endpoint_id, e.endpoint_id, n.job_id, 'msg_' || audit_event_id,
        n.event_type, logged.at, n.body, n.body_mac, e.endpoint_id, 'waiting', 0,
        least(logged.at, (extract(epoch FROM now()) * 1000000)::bigint), 0
    FROM logged
    JOIN unnest(
        :announced_audit_event_id::text[], :announced_type::text[], :announced_bit::bigint[],
        :announced_body::text[], :announced_mac::bytea[], :announced_job_id::text[], :announced_only_id::text[],
        :announced_except_id::text[], :announced_is_for_operator::boolean[])
        AS n (
            audit_event_id, event_type, event_bit, body, body_mac, job_id, only_id, except_id,
            is_for_operator)
        USING (audit_event_id)
    JOIN webhook_endpoints AS e
        ON e.account_id = logged.account_id
    WHERE e.account_id = ANY (:announced_accounts::text[])
        AND e.is_enabled
        AND NOT n.is_for_operator
        AND CASE
            WHEN n.only_id IS NOT NULL THEN e.endpoint_id = n.only_id
            ELSE
                e.endpoint_id IS DISTINCT FROM n.except_id
                AND (e.events IS NULL OR e.events & n.event_bit <> 0)
            END
    ORDER BY e.account_id, audit_event_id COLLATE "C", e.endpoint_id
)
SELECT
    is_active,
    is_held,
    EXISTS (SELECT 1 FROM updated) AS is_updated,
    EXISTS (
        SELECT 1
        FROM jobs AS j
        WHERE j.account_id = :account_id
            AND j.job_id = :job_id
            AND j.fence = :fence::bigint
            AND j.row_mac = :row_mac) AS is_applied
FROM checks;

-- name: lock_account
-- Leases of one account are taken one at a time: two that count the running jobs at once would not count each other. Rows that
-- refer to the account can be inserted meanwhile.
SELECT account_id
FROM accounts
WHERE account_id = :account_id
FOR NO KEY UPDATE;

-- name: lease_job
-- Takes a lease, if the job still has the :fence and the limits of its account and connection allow one more.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), running AS (
    SELECT r.connection_id, r.due_class / 2 AS work, count(*) AS count
    FROM jobs AS r
    CROSS JOIN clock
    WHERE r.account_id = :account_id
        AND r.lease_until > clock.now
    GROUP BY r.connection_id, r.due_class / 2
)
UPDATE jobs AS j SET
    fence = j.fence + 1,
    lease_until = clock.now + :lease_micros::bigint
FROM clock
WHERE j.account_id = :account_id
    AND j.job_id = :job_id
    AND j.fence = :fence
    AND j.due_at <= clock.now
    AND (j.lease_until IS NULL OR j.lease_until <= clock.now)
    AND (
        SELECT coalesce(sum(count), 0)
        FROM running
        WHERE running.work = j.due_class / 2) < :per_account::bigint
    AND (
        SELECT coalesce(sum(count), 0)
        FROM running
        WHERE running.work = j.due_class / 2
            AND running.connection_id = j.connection_id) < :per_connection::bigint
RETURNING
    j.account_id, j.job_id, j.connection_id, j.source, j.created_at, j.retry_of, j.replaces,
    j.request_format, j.updated_at, j.version, j.state,
    j.total_bytes, j.validator, j.source_marks, j.fetching, j.sent_bytes, j.bytes_per_second,
    j.video_number, j.orphan_number, j.deadline_at, j.probes, j.restarts, j.ending, j.kept, j.vimeo_link,
    j.player_link, j.failure_code, j.failure_message, j.warnings, j.undeleted, j.unconfirmed_since,
    j.retry_count, j.last_progress_at, j.refused_since, j.missing_since, j.webhook, j.webhook_attempts,
    j.waiting_for, j.is_connection_deleted, j.due_class, j.publish_at, j.is_playable, j.parts_done,
    j.unique_request, j.newest_picture, j.row_mac, clock.now AS leased_at;

-- name: renew_leases
-- Each parameter is an array with one element for each lease, except for :accounts, which has each account once. The progress
-- is written only if the job still has the version that it belongs to.
WITH input AS (
    SELECT
        account_id, job_id, fence, lease_micros, version, sent_bytes, row_mac, bytes_per_second,
        coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now, position
    FROM unnest(
        :account_id::text[], :job_id::text[], :fence::bigint[], :lease_micros::bigint[], :version::bigint[],
        :sent_bytes::bigint[], :row_mac::bytea[], :bytes_per_second::bigint[], :now::bigint[])
        WITH ORDINALITY AS input (
            account_id, job_id, fence, lease_micros, version,
            sent_bytes, row_mac, bytes_per_second, now, position)
), locked AS (
    SELECT account_id, job_id
    FROM (
        SELECT j.account_id, j.job_id
        FROM jobs AS j
        JOIN input USING (account_id, job_id)
        WHERE j.account_id = ANY (:accounts::text[])
            AND j.fence = input.fence
            AND j.lease_until > input.now
        ORDER BY j.account_id, j.job_id
        FOR UPDATE OF j) AS ordered
), renewed AS (
    UPDATE jobs AS j SET
        lease_until = input.now + input.lease_micros,
        sent_bytes = CASE WHEN j.version = input.version THEN input.sent_bytes ELSE j.sent_bytes END,
        row_mac = CASE WHEN j.version = input.version THEN input.row_mac ELSE j.row_mac END,
        bytes_per_second =
            CASE WHEN j.version = input.version THEN input.bytes_per_second ELSE j.bytes_per_second END
    FROM input
    JOIN locked USING (account_id, job_id)
    WHERE j.account_id = ANY (:accounts::text[])
        AND j.account_id = input.account_id
        AND j.job_id = input.job_id
    RETURNING j.account_id, j.job_id
)
SELECT renewed.job_id IS NOT NULL AS is_renewed
FROM input
LEFT JOIN renewed USING (account_id, job_id)
ORDER BY input.position;

-- name: release_lease
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
)
UPDATE jobs AS j SET
    lease_until = NULL,
    due_at = clock.now + :due_in_micros::bigint
FROM clock
WHERE j.account_id = :account_id
    AND j.job_id = :job_id
    AND j.fence = :fence
    AND j.lease_until > clock.now
RETURNING j.job_id;

-- name: defer_jobs
-- Puts off due jobs of a connection that no worker has.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), chosen AS (
    SELECT job_id, now
    FROM (
        SELECT j.job_id, clock.now
        FROM jobs AS j
        CROSS JOIN clock
        WHERE j.account_id = :account_id
            AND j.connection_id = :connection_id
            AND j.due_class BETWEEN :least_class AND 1
            AND j.due_at <= clock.now
            AND (j.lease_until IS NULL OR j.lease_until <= clock.now)
        LIMIT :limit
        FOR UPDATE OF j SKIP LOCKED) AS locked
)
UPDATE jobs AS j SET
    due_at = chosen.now + :due_in_micros::bigint,
    waiting_for = :waiting_for
FROM chosen
WHERE j.account_id = :account_id
    AND j.job_id = chosen.job_id
RETURNING j.job_id;

-- name: wake_jobs
-- Makes the jobs of a connection due that wait for this.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), chosen AS (
    SELECT job_id, now
    FROM (
        SELECT j.job_id, clock.now
        FROM jobs AS j
        CROSS JOIN clock
        WHERE j.account_id = :account_id
            AND j.connection_id = :connection_id
            AND (j.due_at IS NOT NULL AND j.due_class < 2 OR j.due_class = 4)
            AND j.waiting_for = :waiting_for
        ORDER BY j.job_id
        FOR UPDATE OF j) AS ordered
)
UPDATE jobs AS j SET
    due_at = chosen.now,
    waiting_for = NULL
FROM chosen
WHERE j.account_id = :account_id
    AND j.job_id = chosen.job_id
RETURNING j.job_id;

-- name: mark_jobs_of_deleted_connections
-- Each parameter is an array with one element for each connection, except for :accounts, which has each account once.
WITH input AS (
    SELECT account_id, connection_id, coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now
    FROM unnest(:account_id::text[], :connection_id::text[], :now::bigint[])
        AS input (account_id, connection_id, now)
), locked AS (
    SELECT account_id, job_id, now
    FROM (
        SELECT j.account_id, j.job_id, input.now
        FROM jobs AS j
        JOIN input USING (account_id, connection_id)
        WHERE j.account_id = ANY (:accounts::text[])
            AND (j.due_at IS NOT NULL AND j.due_class < 2 OR j.due_class = 4)
        ORDER BY j.account_id, j.job_id
        FOR UPDATE OF j) AS ordered
), wiped AS (
    -- What failed jobs kept for a retry.
    DELETE FROM job_secrets AS s
    USING jobs AS j, input
    WHERE s.account_id = ANY (:accounts::text[])
        AND j.account_id = ANY (:accounts::text[])
        AND j.account_id = input.account_id
        AND j.connection_id = input.connection_id
        AND s.account_id = j.account_id
        AND s.job_id = j.job_id
        AND s.kept_since IS NOT NULL
)
UPDATE jobs AS j SET
    is_connection_deleted = true,
    waiting_for = NULL,
    fence = j.fence + 1,
    lease_until = NULL,
    due_at = locked.now
FROM locked
WHERE j.account_id = ANY (:accounts::text[])
    AND j.account_id = locked.account_id
    AND j.job_id = locked.job_id
RETURNING j.account_id, j.job_id, j.webhook = 'waiting' AS is_waiting;

-- name: wipe_secrets_of_marked_jobs
-- Once the jobs are locked, so that no secret is missed that was written in between. A webhook that waits still needs the
-- request.
DELETE FROM job_secrets AS s
USING unnest(:account_id::text[], :job_id::text[], :is_waiting::boolean[]) AS input (account_id, job_id, is_waiting)
WHERE s.account_id = ANY (:accounts::text[])
    AND s.account_id = input.account_id
    AND s.job_id = input.job_id
    AND (s.part <> 'request' OR NOT input.is_waiting);
