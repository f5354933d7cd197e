-- lowest application schema: 9
-- Replacing the service secret: besides the one that signs, there are others that only verify. An earlier version does not know
-- them, and accepts nothing that a new secret has signed.
ALTER TABLE service_secrets ADD COLUMN number INTEGER NOT NULL DEFAULT 1;

CREATE TABLE other_service_secrets (
    number         INTEGER NOT NULL PRIMARY KEY,
    -- next: it will sign soon. former: it has signed until then. retired: nothing that it has signed is left in a row.
    role           TEXT NOT NULL CHECK (role IN ('next', 'former', 'retired')),
    since          INTEGER NOT NULL,
    keyring_key_id TEXT NOT NULL REFERENCES keyring_checks (keyring_key_id),
    wrapped_key    BLOB NOT NULL CHECK (length(wrapped_key) = 60)
) STRICT;
