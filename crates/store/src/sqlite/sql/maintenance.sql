-- name: probe_write
-- A changed row: SQLite writes no page for one that stays the same.
INSERT INTO write_probes (probe_id, writes)
VALUES (1, 1)
ON CONFLICT (probe_id) DO UPDATE SET writes = writes + 1;
