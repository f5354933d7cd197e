-- name: count_schema_objects
SELECT count(*) FROM sqlite_schema;

-- name: table_exists
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = :name);

-- name: create_schema_migrations
CREATE TABLE IF NOT EXISTS schema_migrations (
    number                    INTEGER NOT NULL PRIMARY KEY,
    name                      TEXT NOT NULL,
    lowest_application_schema INTEGER NOT NULL,
    applied_at                INTEGER NOT NULL
) STRICT;

-- name: find_schema
SELECT coalesce(max(number), 0)
FROM schema_migrations;

-- name: list_migrations
SELECT number, name, lowest_application_schema
FROM schema_migrations
ORDER BY number;

-- name: insert_migration
INSERT INTO schema_migrations (number, name, lowest_application_schema, applied_at)
VALUES (:number, :name, :lowest_application_schema, :applied_at);

-- name: set_lowest_application_schema
UPDATE schema_migrations SET lowest_application_schema = :lowest_application_schema
WHERE number = :number;
