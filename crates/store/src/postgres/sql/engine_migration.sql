-- name: find_target_mark
SELECT move_id, other_side, state
FROM moves
WHERE role = 'target';

-- name: insert_target_mark
INSERT INTO moves (role, move_id, other_side, state, started_at)
VALUES ('target', :move_id, :other_side, 'running', :started_at);

-- name: complete_target_mark
UPDATE moves SET
    state = 'done',
    ended_at = coalesce(ended_at, :ended_at)
WHERE role = 'target'
    AND move_id = :move_id
RETURNING role;
