-- Renews a lease. The progress is written only if the job still has the version that it belongs to.
UPDATE jobs SET
    lease_until = :lease_until,
    sent_bytes = CASE WHEN version = :version THEN :sent_bytes ELSE sent_bytes END,
    row_mac = CASE WHEN version = :version THEN :row_mac ELSE row_mac END,
    bytes_per_second = CASE WHEN version = :version THEN :bytes_per_second ELSE bytes_per_second END
WHERE account_id = :account_id AND job_id = :job_id AND fence = :fence AND lease_until > :now
