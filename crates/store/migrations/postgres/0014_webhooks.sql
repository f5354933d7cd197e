-- lowest application schema: 9
-- The webhook endpoints of accounts, and the deliveries of webhooks. A node of an older version announces nothing to endpoints,
-- and cannot delete an account that has some.
ALTER TABLE accounts ADD COLUMN max_webhook_endpoints BIGINT;

-- Sealed: the URL, the description, the secrets, and a copy of `events` and `is_enabled`.
CREATE TABLE webhook_endpoints (
    account_id      TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    endpoint_id     TEXT COLLATE "C" NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    version         BIGINT NOT NULL CHECK (version >= 1),
    -- One bit for each type of event; nothing: all types, also those of later versions.
    events          BIGINT,
    is_enabled      BOOLEAN NOT NULL,
    -- Why the service disabled it.
    disabled_reason TEXT COLLATE "C",
    -- The first failed attempt since the last delivery.
    failing_since   BIGINT,
    wrapped_key     BYTEA NOT NULL CHECK (octet_length(wrapped_key) = 60),
    envelope        BYTEA NOT NULL,
    PRIMARY KEY (account_id, endpoint_id)
);

-- One row for each message and receiver. The first part of `delivery_id` is the identifier of the audit event.
CREATE TABLE webhook_deliveries (
    account_id       TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    delivery_id      TEXT COLLATE "C" NOT NULL,
    -- Nothing: the webhook of a job, or a message for the operator.
    endpoint_id      TEXT COLLATE "C",
    job_id           TEXT COLLATE "C",
    -- The `webhook-id`.
    event_id         TEXT COLLATE "C" NOT NULL,
    event_type       TEXT COLLATE "C" NOT NULL,
    created_at       BIGINT NOT NULL,
    -- Nothing: the URL and the body are sealed in webhook_delivery_secrets.
    body             TEXT COLLATE "C",
    body_mac         BYTEA CHECK (octet_length(body_mac) = 32),
    -- What the order of deliveries is fair to: the endpoint, the hash of an origin, or `operator`.
    receiver         TEXT COLLATE "C" NOT NULL,
    status           TEXT COLLATE "C" NOT NULL,
    attempts         BIGINT NOT NULL CHECK (attempts >= 0),
    last_attempt_at  BIGINT,
    last_result      TEXT COLLATE "C",
    last_status      BIGINT,
    last_duration_ms BIGINT,
    -- Nothing: it has ended.
    due_at           BIGINT,
    ended_at         BIGINT,
    -- Increases each time a lease is taken.
    fence            BIGINT NOT NULL CHECK (fence >= 0),
    lease_until      BIGINT,
    PRIMARY KEY (account_id, delivery_id)
);

-- For the worker.
CREATE INDEX webhook_deliveries_by_due ON webhook_deliveries (account_id, receiver, due_at, delivery_id) WHERE due_at IS NOT NULL;
-- For lists.
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (account_id, endpoint_id, delivery_id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX webhook_deliveries_by_job ON webhook_deliveries (account_id, job_id, delivery_id) WHERE job_id IS NOT NULL;
-- For the sweep.
CREATE INDEX webhook_deliveries_by_end ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;

-- The URL and the body of a job's own webhook, until the delivery has ended.
CREATE TABLE webhook_delivery_secrets (
    account_id  TEXT COLLATE "C" NOT NULL,
    delivery_id TEXT COLLATE "C" NOT NULL,
    wrapped_key BYTEA NOT NULL CHECK (octet_length(wrapped_key) = 60),
    envelope    BYTEA NOT NULL,
    PRIMARY KEY (account_id, delivery_id)
);
