-- lowest application schema: 9
-- Sessions of the dashboard, and sign-in links, which are sessions that have not started. A node of an older version cannot
-- delete an account that has some.
CREATE TABLE dashboard_sessions (
    account_id       TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    session_id       TEXT COLLATE "C" NOT NULL,
    state            TEXT COLLATE "C" NOT NULL,
    method           TEXT COLLATE "C" NOT NULL,
    api_key_id       TEXT COLLATE "C",
    person           TEXT COLLATE "C" NOT NULL,
    role             TEXT COLLATE "C",
    scopes           TEXT COLLATE "C" NOT NULL,
    created_at       BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    last_seen_at     BIGINT NOT NULL,
    remote           TEXT COLLATE "C",
    user_agent       TEXT COLLATE "C",
    -- Who the person is at the identity provider.
    subject          TEXT COLLATE "C",
    token_hash       BYTEA NOT NULL CHECK (octet_length(token_hash) = 32),
    row_mac          BYTEA NOT NULL CHECK (octet_length(row_mac) = 32),
    PRIMARY KEY (account_id, session_id)
);

-- For the sweep.
CREATE INDEX dashboard_sessions_by_expiry ON dashboard_sessions (expires_at);
