INSERT INTO jobs (
    account_id, job_id, connection_id, source, created_at, updated_at, version, state, total_bytes, validator,
    source_marks, fetching, sent_bytes, bytes_per_second, video_number, orphan_number, deadline_at, probes,
    restarts, ending, kept, vimeo_link, player_link, failure_code, failure_message, warnings, undeleted,
    unconfirmed_since, retry_count, last_progress_at, refused_since, missing_since, webhook, webhook_attempts,
    waiting_for, is_connection_deleted, due_class, row_mac, due_at, lease_until, fence
) VALUES (
    :account_id, :job_id, :connection_id, :source, :created_at, :updated_at, :version, :state, :total_bytes,
    :validator, :source_marks, :fetching, :sent_bytes, :bytes_per_second, :video_number, :orphan_number,
    :deadline_at, :probes, :restarts, :ending, :kept, :vimeo_link, :player_link, :failure_code,
    :failure_message, :warnings, :undeleted, :unconfirmed_since, :retry_count, :last_progress_at,
    :refused_since, :missing_since, :webhook, :webhook_attempts, :waiting_for, :is_connection_deleted,
    :due_class, :row_mac, :due_at, :lease_until, :fence
)
