-- lowest application schema: 9
-- The webhook endpoints of accounts, and the deliveries of webhooks. A node of an older version announces nothing to endpoints,
-- and cannot delete an account that has some.
ALTER TABLE accounts ADD COLUMN max_webhook_endpoints INTEGER;

-- Sealed: the URL, the description, the secrets, and a copy of `events` and `is_enabled`.
CREATE TABLE webhook_endpoints (
    account_id      TEXT NOT NULL REFERENCES accounts (account_id),
    endpoint_id     TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL CHECK (version >= 1),
    -- One bit for each type of event; nothing: all types, also those of later versions.
    events          INTEGER,
    is_enabled      INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    -- Why the service disabled it.
    disabled_reason TEXT,
    -- The first failed attempt since the last delivery.
    failing_since   INTEGER,
    sealing_key_id  INTEGER NOT NULL REFERENCES sealing_keys (sealing_key_id),
    envelope        BLOB NOT NULL,
    PRIMARY KEY (account_id, endpoint_id)
) STRICT;

-- One row for each message and receiver. The first part of `delivery_id` is the identifier of the audit event.
CREATE TABLE webhook_deliveries (
    account_id       TEXT NOT NULL REFERENCES accounts (account_id),
    delivery_id      TEXT NOT NULL,
    -- Nothing: the webhook of a job, or a message for the operator.
    endpoint_id      TEXT,
    job_id           TEXT,
    -- The `webhook-id`.
    event_id         TEXT NOT NULL,
    event_type       TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    -- Nothing: the URL and the body are sealed in webhook_delivery_secrets.
    body             TEXT,
    body_mac         BLOB CHECK (length(body_mac) = 32),
    -- What the order of deliveries is fair to: the endpoint, the hash of an origin, or `operator`.
    receiver         TEXT NOT NULL,
    status           TEXT NOT NULL,
    attempts         INTEGER NOT NULL CHECK (attempts >= 0),
    last_attempt_at  INTEGER,
    last_result      TEXT,
    last_status      INTEGER,
    last_duration_ms INTEGER,
    -- Nothing: it has ended.
    due_at           INTEGER,
    ended_at         INTEGER,
    -- Increases each time a lease is taken.
    fence            INTEGER NOT NULL CHECK (fence >= 0),
    lease_until      INTEGER,
    PRIMARY KEY (account_id, delivery_id)
) STRICT;

-- For the worker.
CREATE INDEX webhook_deliveries_by_due ON webhook_deliveries (account_id, receiver, due_at, delivery_id) WHERE due_at IS NOT NULL;
-- For lists.
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (account_id, endpoint_id, delivery_id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX webhook_deliveries_by_job ON webhook_deliveries (account_id, job_id, delivery_id) WHERE job_id IS NOT NULL;
-- For the sweep.
CREATE INDEX webhook_deliveries_by_end ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;

-- The URL and the body of a job's own webhook, until the delivery has ended.
CREATE TABLE webhook_delivery_secrets (
    account_id  TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    sealing_key_id INTEGER NOT NULL REFERENCES sealing_keys (sealing_key_id),
    envelope    BLOB NOT NULL,
    PRIMARY KEY (account_id, delivery_id)
) STRICT;
