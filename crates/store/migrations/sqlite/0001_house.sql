-- lowest application schema: 1
-- Accounts, API keys, connections, audit events and the encryption keys.
-- Times are integer microseconds of UTC since 1970. Identifiers are text.

-- Shows, before anything is written, whether the operator's keyring is the right one.
CREATE TABLE keyring_checks (
    keyring_key_id TEXT NOT NULL PRIMARY KEY,
    check_value    BLOB NOT NULL CHECK (length(check_value) = 32)
) STRICT;

CREATE TABLE service_secrets (
    purpose        TEXT NOT NULL PRIMARY KEY,
    keyring_key_id TEXT NOT NULL REFERENCES keyring_checks (keyring_key_id),
    wrapped_key    BLOB NOT NULL CHECK (length(wrapped_key) = 60)
) STRICT;

CREATE TABLE accounts (
    account_id     TEXT NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    created_at     INTEGER NOT NULL,
    keyring_key_id TEXT NOT NULL REFERENCES keyring_checks (keyring_key_id),
    wrapped_key    BLOB NOT NULL CHECK (length(wrapped_key) = 60)
) STRICT;

-- A key is found by its hash before its account is known: hence no account in front.
CREATE TABLE api_keys (
    api_key_id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    name       TEXT NOT NULL,
    key_hash   BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    last_four  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    row_mac    BLOB NOT NULL CHECK (length(row_mac) = 32)
) STRICT;

-- Rows of one size under a key that only grows, never deleted: overwritten in place with zeros they leave no copy.
CREATE TABLE sealing_keys (
    sealing_key_id INTEGER PRIMARY KEY,
    wrapped_key    BLOB NOT NULL CHECK (length(wrapped_key) = 60)
) STRICT;

CREATE TABLE connections (
    account_id        TEXT NOT NULL REFERENCES accounts (account_id),
    connection_id     TEXT NOT NULL,
    name              TEXT NOT NULL,
    unique_name       TEXT NOT NULL,
    description       TEXT,
    is_enabled        INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    client_identifier TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    version           INTEGER NOT NULL CHECK (version >= 1),
    sealed_version    INTEGER NOT NULL CHECK (sealed_version BETWEEN 1 AND version),
    sealing_key_id    INTEGER NOT NULL REFERENCES sealing_keys (sealing_key_id),
    envelope          BLOB NOT NULL,
    PRIMARY KEY (account_id, connection_id),
    UNIQUE (account_id, unique_name)
) STRICT;

CREATE TABLE audit_events (
    account_id     TEXT NOT NULL,
    audit_event_id TEXT NOT NULL,
    at             INTEGER NOT NULL,
    api_key_id     TEXT,
    remote         TEXT,
    action         TEXT NOT NULL,
    subject        TEXT,
    refusal        TEXT,
    PRIMARY KEY (account_id, audit_event_id)
) STRICT;
