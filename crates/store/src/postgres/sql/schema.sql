-- name: find_encoding
SELECT pg_catalog.current_setting('server_encoding') AS encoding;

-- name: list_tables
-- The tables of the schema and their columns, which distinguish ours from another program's, without those of extensions. From the
-- catalog itself: the views of the SQL standard show only what the role may use.
SELECT
    c.relname::text AS table_name,
    string_agg(a.attname::text, ',' ORDER BY a.attname::text COLLATE "C") AS columns
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = 'public'
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass
            AND d.objid = c.oid
            AND d.deptype = 'e')
GROUP BY c.relname
ORDER BY c.relname;

-- name: check_schema_privileges
SELECT
    pg_catalog.has_schema_privilege('public', 'CREATE')
    AND pg_catalog.has_schema_privilege('public', 'USAGE') AS is_granted;

-- name: check_table_privileges
-- Of the table that the last migration created: a role that does not own the tables needs a grant for it.
SELECT
    pg_catalog.has_table_privilege('write_probes', 'SELECT')
    AND pg_catalog.has_table_privilege('write_probes', 'INSERT')
    AND pg_catalog.has_table_privilege('write_probes', 'UPDATE') AS is_granted;

-- name: list_migrations
SELECT number, name, lowest_application_schema
FROM schema_migrations
ORDER BY number;

-- name: create_schema_migrations
CREATE TABLE schema_migrations (
    number                    BIGINT NOT NULL PRIMARY KEY,
    name                      TEXT COLLATE "C" NOT NULL,
    lowest_application_schema BIGINT NOT NULL,
    applied_at                BIGINT NOT NULL
);

-- name: insert_migration
INSERT INTO schema_migrations (number, name, lowest_application_schema, applied_at)
VALUES (:number, :name, :lowest_application_schema, :applied_at);

-- name: set_lowest_application_schema
UPDATE schema_migrations SET lowest_application_schema = :lowest_application_schema
WHERE number = :number;

-- name: table_exists
SELECT to_regclass('public.' || :name::text) IS NOT NULL AS is_there;
