-- name: find_connection
SELECT
    account_id, connection_id, name, description, is_enabled, client_identifier, created_at, updated_at, version,
    sealed_version
FROM connections
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: find_sealed_connection
-- A sealing key that is missing reads as one that was wiped: the row is there and does not decrypt.
SELECT
    account_id, connection_id, name, description, is_enabled, client_identifier, created_at, updated_at, version,
    sealed_version, envelope, coalesce(wrapped_key, zeroblob(60)) AS wrapped_key
FROM connections
LEFT JOIN sealing_keys USING (sealing_key_id)
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: find_connection_id_by_name
SELECT connection_id
FROM connections
WHERE account_id = :account_id
    AND unique_name = :unique_name;

-- name: list_connections
-- By keyset: a search in the index and a scan from there, at any depth.
SELECT
    account_id, connection_id, name, description, is_enabled, client_identifier, created_at, updated_at, version,
    sealed_version
FROM connections
WHERE account_id = :account_id
    AND connection_id > :after
ORDER BY connection_id
LIMIT :limit;

-- name: list_connection_ids
SELECT connection_id
FROM connections
WHERE account_id = :account_id
    AND connection_id > :after
ORDER BY connection_id
LIMIT :limit;

-- name: find_last_connection_time
-- The row that was added last has the highest rowid, whatever its identifier is.
SELECT created_at
FROM connections
ORDER BY rowid DESC
LIMIT 1;

-- name: find_stored_connection
SELECT version, sealing_key_id, name
FROM connections
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: insert_connection
INSERT INTO connections (
    account_id, connection_id, name, unique_name, description, is_enabled, client_identifier, created_at,
    updated_at, version, sealed_version, sealing_key_id, envelope)
VALUES (
    :account_id, :connection_id, :name, :unique_name, :description, :is_enabled, :client_identifier, :created_at,
    :updated_at, :version, :sealed_version, :sealing_key_id, :envelope);

-- name: update_connection
-- Without the names: SQLite removes an index entry and adds it again even if it stays the same.
UPDATE connections SET
    description = :description,
    is_enabled = :is_enabled,
    client_identifier = :client_identifier,
    updated_at = :updated_at,
    version = :version
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: rename_connection
UPDATE connections SET
    name = :name,
    unique_name = :unique_name
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: reseal_connection
UPDATE connections SET
    sealed_version = :sealed_version,
    sealing_key_id = :sealing_key_id,
    envelope = :envelope
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: delete_connection
DELETE FROM connections
WHERE account_id = :account_id
    AND connection_id = :connection_id;

-- name: delete_connections_of_account
DELETE FROM connections
WHERE rowid IN (
    SELECT rowid
    FROM connections
    WHERE account_id = :account_id
    ORDER BY connection_id
    LIMIT :limit);
