-- name: insert_sealing_key
INSERT INTO sealing_keys (wrapped_key)
VALUES (:wrapped_key);

-- name: wipe_sealing_key
UPDATE sealing_keys SET wrapped_key = zeroblob(60)
WHERE sealing_key_id = :sealing_key_id;

-- name: wipe_connections_of_account
-- Those of the connections that delete_connections_of_account deletes with the same limit.
UPDATE sealing_keys SET wrapped_key = zeroblob(60)
WHERE sealing_key_id IN (
    SELECT sealing_key_id
    FROM connections
    WHERE account_id = :account_id
    ORDER BY connection_id
    LIMIT :limit);
