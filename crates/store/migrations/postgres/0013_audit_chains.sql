-- lowest application schema: 9
-- Who performed an action, in columns of its own; NULL in the events of earlier versions, which have the kind in api_key_id and
-- remote. The chain that links an account's events.

ALTER TABLE audit_events ADD COLUMN actor_kind TEXT COLLATE "C";
ALTER TABLE audit_events ADD COLUMN actor_name TEXT COLLATE "C";

-- The link of an event is a keyed hash of it, its position and the link before it.
CREATE TABLE audit_links (
    account_id     TEXT COLLATE "C" NOT NULL,
    audit_event_id TEXT COLLATE "C" NOT NULL,
    position       BIGINT NOT NULL CHECK (position >= 1),
    link           BYTEA NOT NULL CHECK (octet_length(link) = 32),
    PRIMARY KEY (account_id, audit_event_id)
);

CREATE TABLE audit_chains (
    account_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version          BIGINT NOT NULL CHECK (version >= 1),
    position         BIGINT NOT NULL CHECK (position >= 0),
    link             BYTEA NOT NULL CHECK (octet_length(link) = 32),
    linked_event_id  TEXT COLLATE "C" NOT NULL,
    checked_event_id TEXT COLLATE "C" NOT NULL,
    deleted_position BIGINT NOT NULL CHECK (deleted_position >= 0),
    deleted_link     BYTEA NOT NULL CHECK (octet_length(deleted_link) = 32),
    updated_at       BIGINT NOT NULL,
    row_mac          BYTEA NOT NULL CHECK (octet_length(row_mac) = 32)
);
