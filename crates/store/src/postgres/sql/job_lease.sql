-- $1 account, $2 job, $3 the fence that the job must have, $4 now, $5 the length of the lease, $6 and $7 the most running
-- jobs of the account and of the connection.
WITH clock AS (
    SELECT coalesce($4::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now),
running AS (
    SELECT r.connection_id, r.due_class = 2 AS has_ended, count(*) AS count FROM jobs r, clock
    WHERE r.account_id = $1 AND r.lease_until > clock.now
    GROUP BY r.connection_id, r.due_class = 2)
UPDATE jobs j SET fence = j.fence + 1, lease_until = clock.now + $5::bigint
FROM clock
WHERE j.account_id = $1 AND j.job_id = $2 AND j.fence = $3 AND j.due_at <= clock.now
    AND (j.lease_until IS NULL OR j.lease_until <= clock.now)
    AND (SELECT coalesce(sum(count), 0) FROM running
        WHERE running.has_ended = (j.due_class = 2)) < $6::bigint
    AND (SELECT coalesce(sum(count), 0) FROM running
        WHERE running.has_ended = (j.due_class = 2) AND running.connection_id = j.connection_id) < $7::bigint
RETURNING j.account_id, j.job_id, j.connection_id, j.source, j.created_at, j.updated_at, j.version, j.state,
    j.total_bytes, j.validator, j.source_marks, j.fetching, j.sent_bytes, j.bytes_per_second, j.video_number,
    j.orphan_number, j.deadline_at, j.probes, j.restarts, j.ending, j.kept, j.vimeo_link, j.player_link,
    j.failure_code, j.failure_message, j.warnings, j.undeleted, j.unconfirmed_since, j.retry_count,
    j.last_progress_at, j.refused_since, j.missing_since, j.webhook, j.webhook_attempts, j.waiting_for,
    j.is_connection_deleted, j.due_class, j.row_mac
