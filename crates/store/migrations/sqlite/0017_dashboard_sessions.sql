-- lowest application schema: 9
-- Sessions of the dashboard, and sign-in links, which are sessions that have not started. A node of an older version cannot
-- delete an account that has some.
CREATE TABLE dashboard_sessions (
    account_id       TEXT NOT NULL REFERENCES accounts (account_id),
    session_id       TEXT NOT NULL,
    state            TEXT NOT NULL,
    method           TEXT NOT NULL,
    api_key_id       TEXT,
    person           TEXT NOT NULL,
    role             TEXT,
    scopes           TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    last_seen_at     INTEGER NOT NULL,
    remote           TEXT,
    user_agent       TEXT,
    -- Who the person is at the identity provider.
    subject          TEXT,
    token_hash       BLOB NOT NULL CHECK (length(token_hash) = 32),
    row_mac          BLOB NOT NULL CHECK (length(row_mac) = 32),
    PRIMARY KEY (account_id, session_id)
) STRICT;

-- For the sweep.
CREATE INDEX dashboard_sessions_by_expiry ON dashboard_sessions (expires_at);
