-- lowest application schema: 1
-- What a database says of a move from one engine to the other that it has a part in.
-- An older version would serve such a database as if it were any other, and do harm. Yet only such a one is closed to it:
-- the mark raises the lowest application schema of this migration in that database, for as long as it must. Raised here,
-- it would forbid rolling upgrades to everybody.

CREATE TABLE moves (
    role       TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (role IN ('source', 'target')),
    -- The same on both sides, and random: by this they know each other.
    move_id    TEXT COLLATE "C" NOT NULL,
    -- The other database, without its password.
    other_side TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('running', 'done')),
    started_at BIGINT NOT NULL,
    ended_at   BIGINT,
    CHECK ((state = 'done') = (ended_at IS NOT NULL))
);
