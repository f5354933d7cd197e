-- lowest application schema: 1
-- What one attempt to reserve a key is known by: asked again after a lost connection, it finds that it has the key.

ALTER TABLE idempotency_records
    ADD COLUMN operation_id BLOB CHECK (operation_id IS NULL OR length(operation_id) = 16);

-- For the keys of an account, and for whoever deletes it.
CREATE INDEX api_keys_by_account ON api_keys (account_id);
