-- name: find_backend
-- The process of the server that runs this session, and the schema that names without one belong to.
SELECT pg_catalog.pg_backend_pid()::bigint AS backend_pid, pg_catalog.current_schema()::text AS current_schema;

-- name: find_timeline
-- The timeline that the server writes. Each promotion starts a higher one. Fails on a standby.
SELECT pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) AS timeline;
