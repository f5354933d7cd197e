SELECT account_id, connection_id, count(*) FROM jobs
WHERE lease_until > coalesce($1::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AND (due_class = 2) = $2::boolean
GROUP BY account_id, connection_id
