-- name: probe_write
INSERT INTO write_probes (probe_id, writes)
VALUES (1, 1)
ON CONFLICT (probe_id) DO UPDATE SET writes = write_probes.writes + 1;
