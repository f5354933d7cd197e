SELECT j.row_mac, s.wrapped_key, s.envelope
FROM jobs j LEFT JOIN job_secrets s ON s.account_id = $1 AND s.job_id = j.job_id AND s.part = 'request'
WHERE j.account_id = $1 AND j.job_id = $2
