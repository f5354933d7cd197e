-- Renews leases, one in each row of the arrays. The progress is written only if the job still has the version that it
-- belongs to.
WITH given AS (
    SELECT account_id, job_id, fence, lease, version, sent_bytes, row_mac, bytes_per_second,
        coalesce(now, (extract(epoch FROM now()) * 1000000)::bigint) AS now, position
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[],
            $8::bigint[], $9::bigint[]) WITH ORDINALITY
        AS given (account_id, job_id, fence, lease, version, sent_bytes, row_mac, bytes_per_second, now, position)),
locked AS (
    SELECT * FROM (
        SELECT j.account_id, j.job_id FROM jobs j JOIN given USING (account_id, job_id)
        WHERE j.account_id = ANY ($1::text[]) AND j.fence = given.fence AND j.lease_until > given.now
        ORDER BY j.account_id, j.job_id FOR UPDATE OF j) AS locked),
renewed AS (
    UPDATE jobs j SET
        lease_until = given.now + given.lease,
        sent_bytes = CASE WHEN j.version = given.version THEN given.sent_bytes ELSE j.sent_bytes END,
        row_mac = CASE WHEN j.version = given.version THEN given.row_mac ELSE j.row_mac END,
        bytes_per_second =
            CASE WHEN j.version = given.version THEN given.bytes_per_second ELSE j.bytes_per_second END
    FROM given JOIN locked USING (account_id, job_id)
    WHERE j.account_id = ANY ($1::text[]) AND j.account_id = given.account_id AND j.job_id = given.job_id
    RETURNING j.account_id, j.job_id)
SELECT renewed.job_id IS NOT NULL AS is_renewed
FROM given LEFT JOIN renewed USING (account_id, job_id) ORDER BY given.position
