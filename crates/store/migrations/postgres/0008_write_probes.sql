-- lowest application schema: 1
-- `/health/ready` writes here to find out whether the database can be written. What the row says means nothing.

CREATE TABLE write_probes (
    probe_id BIGINT NOT NULL PRIMARY KEY CHECK (probe_id = 1),
    writes   BIGINT NOT NULL
);
