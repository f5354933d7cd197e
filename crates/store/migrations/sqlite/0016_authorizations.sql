-- lowest application schema: 9
-- The authorizations by which people connect Vimeo accounts. A node of an older version shows none, and cannot delete an account
-- that has some.
ALTER TABLE accounts ADD COLUMN max_open_authorizations INTEGER;

CREATE TABLE authorizations (
    account_id       TEXT NOT NULL REFERENCES accounts (account_id),
    authorization_id TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    version          INTEGER NOT NULL CHECK (version >= 1),
    flow             TEXT NOT NULL CHECK (flow IN ('redirect', 'device')),
    -- When Vimeo may be asked next for the decision of a device flow.
    next_poll_at     INTEGER,
    state            TEXT NOT NULL,
    exchanging_since INTEGER,
    -- The connection that is created or renewed, from the exchange on.
    connection_id    TEXT,
    failure_reason   TEXT,
    -- When it ends without another step. Nothing: it has ended.
    overdue_at       INTEGER,
    ended_at         INTEGER,
    -- Keyed hashes of the tokens that browsers have.
    connect_hash     BLOB NOT NULL CHECK (length(connect_hash) = 32),
    state_hash       BLOB CHECK (length(state_hash) = 32),
    binding_hash     BLOB CHECK (length(binding_hash) = 32),
    -- The application's JSON: what was asked for, and what it led to.
    request          TEXT NOT NULL,
    outcome          TEXT,
    PRIMARY KEY (account_id, authorization_id)
) STRICT;

CREATE INDEX authorizations_by_connect_hash ON authorizations (account_id, connect_hash);
CREATE INDEX authorizations_by_state_hash ON authorizations (account_id, state_hash) WHERE state_hash IS NOT NULL;
-- For the limit of open ones.
CREATE INDEX authorizations_open ON authorizations (account_id, overdue_at) WHERE overdue_at IS NOT NULL;
-- For the sweeps.
CREATE INDEX authorizations_by_overdue ON authorizations (overdue_at) WHERE overdue_at IS NOT NULL;
CREATE INDEX authorizations_by_end ON authorizations (ended_at) WHERE ended_at IS NOT NULL;

-- The client secret and the device code, until the authorization ends.
CREATE TABLE authorization_secrets (
    account_id       TEXT NOT NULL,
    authorization_id TEXT NOT NULL,
    sealing_key_id   INTEGER NOT NULL REFERENCES sealing_keys (sealing_key_id),
    envelope         BLOB NOT NULL,
    PRIMARY KEY (account_id, authorization_id)
) STRICT;
