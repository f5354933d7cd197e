-- lowest application schema: 1
-- Requests that clients may send again and that have their effect once.

CREATE TABLE idempotency_records (
    account_id      TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    operation       TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    -- Counts up each time the key is reserved, so that an attempt which lost the key cannot complete it.
    attempt         BIGINT NOT NULL CHECK (attempt >= 1),
    request_mac     BYTEA NOT NULL CHECK (octet_length(request_mac) = 32),
    reserved_until  BIGINT NOT NULL,
    -- It led to nothing, and the key is free whatever the clock says.
    is_released     BOOLEAN NOT NULL DEFAULT false,
    answered_at     BIGINT,
    answer          BYTEA,
    PRIMARY KEY (account_id, operation, idempotency_key),
    CHECK ((answered_at IS NULL) = (answer IS NULL))
);

-- For the sweep of ended records.
CREATE INDEX idempotency_records_by_end ON idempotency_records (reserved_until);
