-- lowest application schema: 9
-- Replacing the service secret: besides the one that signs, there are others that only verify. A node of an earlier version does
-- not know them, and accepts nothing that a new secret has signed: all nodes are upgraded before it is replaced.
ALTER TABLE service_secrets ADD COLUMN number BIGINT NOT NULL DEFAULT 1;

CREATE TABLE other_service_secrets (
    number         BIGINT NOT NULL PRIMARY KEY,
    -- next: it will sign soon. former: it has signed until then. retired: nothing that it has signed is left in a row.
    role           TEXT COLLATE "C" NOT NULL CHECK (role IN ('next', 'former', 'retired')),
    since          BIGINT NOT NULL,
    keyring_key_id TEXT COLLATE "C" NOT NULL REFERENCES keyring_checks (keyring_key_id),
    wrapped_key    BYTEA NOT NULL CHECK (octet_length(wrapped_key) = 60)
);
