-- name: find_source_mark
SELECT move_id, other_side, state
FROM moves
WHERE role = 'source';

-- name: insert_source_mark
INSERT INTO moves (role, move_id, other_side, state, started_at)
VALUES ('source', :move_id, :other_side, 'running', :started_at);

-- name: complete_source_mark
UPDATE moves SET
    state = 'done',
    ended_at = coalesce(ended_at, :ended_at)
WHERE role = 'source'
    AND move_id = :move_id;

-- name: delete_source_mark
DELETE FROM moves
WHERE role = 'source';
