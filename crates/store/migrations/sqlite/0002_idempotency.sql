-- lowest application schema: 1
-- Requests that clients may send again and that have their effect once.

CREATE TABLE idempotency_records (
    account_id      TEXT NOT NULL REFERENCES accounts (account_id),
    operation       TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    -- Counts up each time the key is reserved, so that an attempt which lost the key cannot complete it.
    attempt         INTEGER NOT NULL CHECK (attempt >= 1),
    request_mac     BLOB NOT NULL CHECK (length(request_mac) = 32),
    reserved_until  INTEGER NOT NULL,
    -- It led to nothing, and the key is free whatever the clock says.
    is_released     INTEGER NOT NULL DEFAULT 0 CHECK (is_released IN (0, 1)),
    answered_at     INTEGER,
    answer          BLOB,
    PRIMARY KEY (account_id, operation, idempotency_key),
    CHECK ((answered_at IS NULL) = (answer IS NULL))
) STRICT;

-- For the sweep of ended records.
CREATE INDEX idempotency_records_by_end ON idempotency_records (reserved_until);
