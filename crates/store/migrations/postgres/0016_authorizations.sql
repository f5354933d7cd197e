-- lowest application schema: 9
-- The authorizations by which people connect Vimeo accounts. A node of an older version shows none, and cannot delete an account
-- that has some.
ALTER TABLE accounts ADD COLUMN max_open_authorizations BIGINT;

CREATE TABLE authorizations (
    account_id       TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    authorization_id TEXT COLLATE "C" NOT NULL,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    version          BIGINT NOT NULL CHECK (version >= 1),
    flow             TEXT COLLATE "C" NOT NULL CHECK (flow IN ('redirect', 'device')),
    -- When Vimeo may be asked next for the decision of a device flow.
    next_poll_at     BIGINT,
    state            TEXT COLLATE "C" NOT NULL,
    exchanging_since BIGINT,
    -- The connection that is created or renewed, from the exchange on.
    connection_id    TEXT COLLATE "C",
    failure_reason   TEXT COLLATE "C",
    -- When it ends without another step. Nothing: it has ended.
    overdue_at       BIGINT,
    ended_at         BIGINT,
    -- Keyed hashes of the tokens that browsers have.
    connect_hash     BYTEA NOT NULL CHECK (octet_length(connect_hash) = 32),
    state_hash       BYTEA CHECK (octet_length(state_hash) = 32),
    binding_hash     BYTEA CHECK (octet_length(binding_hash) = 32),
    -- The application's JSON: what was asked for, and what it led to.
    request          TEXT COLLATE "C" NOT NULL,
    outcome          TEXT COLLATE "C",
    PRIMARY KEY (account_id, authorization_id)
);

CREATE INDEX authorizations_by_connect_hash ON authorizations (account_id, connect_hash);
CREATE INDEX authorizations_by_state_hash ON authorizations (account_id, state_hash) WHERE state_hash IS NOT NULL;
-- For the limit of open ones.
CREATE INDEX authorizations_open ON authorizations (account_id, overdue_at) WHERE overdue_at IS NOT NULL;
-- For the sweeps.
CREATE INDEX authorizations_by_overdue ON authorizations (overdue_at) WHERE overdue_at IS NOT NULL;
CREATE INDEX authorizations_by_end ON authorizations (ended_at) WHERE ended_at IS NOT NULL;

-- The client secret and the device code, until the authorization ends.
CREATE TABLE authorization_secrets (
    account_id       TEXT COLLATE "C" NOT NULL,
    authorization_id TEXT COLLATE "C" NOT NULL,
    wrapped_key      BYTEA NOT NULL CHECK (octet_length(wrapped_key) = 60),
    envelope         BYTEA NOT NULL,
    PRIMARY KEY (account_id, authorization_id)
);
