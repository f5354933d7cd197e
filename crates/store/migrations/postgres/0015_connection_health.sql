-- lowest application schema: 9
-- The health of each connection. `revision` increases with every write, so that a result is written only where nothing else was
-- written meanwhile; a worker that checks a connection has it until `lease_until`. `details` is the application's JSON.
-- An older version adds connections without a row here; a sweep adds those.

CREATE TABLE connection_health (
    account_id    TEXT COLLATE "C" NOT NULL,
    connection_id TEXT COLLATE "C" NOT NULL,
    status        TEXT COLLATE "C" NOT NULL CHECK (status IN ('healthy', 'unhealthy', 'unverified')),
    since         BIGINT NOT NULL,
    checked_at    BIGINT,
    next_check_at BIGINT,
    unanswered    BIGINT NOT NULL CHECK (unanswered >= 0),
    revision      BIGINT NOT NULL CHECK (revision >= 1),
    lease_until   BIGINT,
    details       TEXT COLLATE "C",
    PRIMARY KEY (account_id, connection_id)
);

CREATE INDEX connection_health_due ON connection_health (account_id, next_check_at)
WHERE next_check_at IS NOT NULL;

CREATE INDEX connection_health_not_healthy ON connection_health (account_id, status, connection_id)
WHERE status <> 'healthy';

-- What Vimeo said of the connections that are there is not stored. They are checked within a day.
INSERT INTO connection_health (account_id, connection_id, status, since, next_check_at, unanswered, revision)
SELECT
    account_id, connection_id, 'unverified', created_at,
    (extract(epoch FROM now()) * 1000000)::bigint + (random() * 86400000000)::bigint, 0, 1
FROM connections;
