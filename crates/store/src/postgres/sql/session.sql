-- name: find_backend
-- The process of the server that runs this session, and the schema that names without one belong to.
SELECT pg_catalog.pg_backend_pid()::bigint AS backend_pid, pg_catalog.current_schema()::text AS current_schema;
