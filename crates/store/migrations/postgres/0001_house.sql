-- lowest application schema: 1
-- Accounts, API keys, connections, audit events and the encryption keys.
-- Times are integer microseconds of UTC since 1970. Identifiers are text. Every text is ordered by its bytes, as the
-- other engine orders it. Where rows are distributed, it is by account_id; accounts and api_keys are everywhere.

-- Shows, before anything is written, whether the operator's keyring is the right one.
CREATE TABLE keyring_checks (
    keyring_key_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    check_value    BYTEA NOT NULL CHECK (octet_length(check_value) = 32)
);

CREATE TABLE service_secrets (
    purpose        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    keyring_key_id TEXT COLLATE "C" NOT NULL REFERENCES keyring_checks (keyring_key_id),
    wrapped_key    BYTEA NOT NULL CHECK (octet_length(wrapped_key) = 60)
);

CREATE TABLE accounts (
    account_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name           TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at     BIGINT NOT NULL,
    keyring_key_id TEXT COLLATE "C" NOT NULL REFERENCES keyring_checks (keyring_key_id),
    wrapped_key    BYTEA NOT NULL CHECK (octet_length(wrapped_key) = 60)
);

-- A key is found by its hash before its account is known: hence no account in front.
CREATE TABLE api_keys (
    api_key_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    name       TEXT COLLATE "C" NOT NULL,
    key_hash   BYTEA NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    last_four  TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    row_mac    BYTEA NOT NULL CHECK (octet_length(row_mac) = 32)
);

-- The sealing key is in its connection's row: PostgreSQL writes a changed row as a new one, so that a separate table would
-- not make overwriting in place possible.
CREATE TABLE connections (
    account_id        TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    connection_id     TEXT COLLATE "C" NOT NULL,
    name              TEXT COLLATE "C" NOT NULL,
    unique_name       TEXT COLLATE "C" NOT NULL,
    description       TEXT COLLATE "C",
    is_enabled        BOOLEAN NOT NULL,
    client_identifier TEXT COLLATE "C" NOT NULL,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    version           BIGINT NOT NULL CHECK (version >= 1),
    sealed_version    BIGINT NOT NULL CHECK (sealed_version BETWEEN 1 AND version),
    wrapped_key       BYTEA NOT NULL CHECK (octet_length(wrapped_key) = 60),
    envelope          BYTEA NOT NULL,
    PRIMARY KEY (account_id, connection_id),
    UNIQUE (account_id, unique_name)
);

-- The identifier of an event also identifies its operation: after a lost session it shows whether that was committed.
CREATE TABLE audit_events (
    account_id     TEXT COLLATE "C" NOT NULL,
    audit_event_id TEXT COLLATE "C" NOT NULL,
    at             BIGINT NOT NULL,
    api_key_id     TEXT COLLATE "C",
    remote         TEXT COLLATE "C",
    action         TEXT COLLATE "C" NOT NULL,
    subject        TEXT COLLATE "C",
    refusal        TEXT COLLATE "C",
    PRIMARY KEY (account_id, audit_event_id)
);
