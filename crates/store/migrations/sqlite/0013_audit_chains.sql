-- lowest application schema: 9
-- Who performed an action, in columns of its own; NULL in the events of earlier versions, which have the kind in api_key_id and
-- remote. The chain that links an account's events.

ALTER TABLE audit_events ADD COLUMN actor_kind TEXT;
ALTER TABLE audit_events ADD COLUMN actor_name TEXT;

-- The link of an event is a keyed hash of it, its position and the link before it.
CREATE TABLE audit_links (
    account_id     TEXT NOT NULL,
    audit_event_id TEXT NOT NULL,
    position       INTEGER NOT NULL CHECK (position >= 1),
    link           BLOB NOT NULL CHECK (length(link) = 32),
    PRIMARY KEY (account_id, audit_event_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_chains (
    account_id       TEXT NOT NULL PRIMARY KEY,
    version          INTEGER NOT NULL CHECK (version >= 1),
    position         INTEGER NOT NULL CHECK (position >= 0),
    link             BLOB NOT NULL CHECK (length(link) = 32),
    linked_event_id  TEXT NOT NULL,
    checked_event_id TEXT NOT NULL,
    deleted_position INTEGER NOT NULL CHECK (deleted_position >= 0),
    deleted_link     BLOB NOT NULL CHECK (length(deleted_link) = 32),
    updated_at       INTEGER NOT NULL,
    row_mac          BLOB NOT NULL CHECK (length(row_mac) = 32)
) STRICT;
