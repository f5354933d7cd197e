-- lowest application schema: 1
-- Identifies one attempt to reserve a key: repeated after a lost session, it finds that it has the key.

ALTER TABLE idempotency_records
    ADD COLUMN operation_id BYTEA CHECK (operation_id IS NULL OR octet_length(operation_id) = 16);

-- For the list of an account's keys, and for its deletion.
CREATE INDEX api_keys_by_account ON api_keys (account_id);
