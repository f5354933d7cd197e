-- lowest application schema: 9
-- Replacing the key of an account: while that lasts, the account has a second key, which only decrypts. A node of an earlier
-- version cannot read what the new key has sealed: all nodes are upgraded before a key is replaced.
ALTER TABLE accounts ADD COLUMN second_keyring_key_id TEXT COLLATE "C" REFERENCES keyring_checks (keyring_key_id);
ALTER TABLE accounts ADD COLUMN second_wrapped_key BYTEA CHECK (octet_length(second_wrapped_key) = 60);
-- next: it will seal soon. former: it has sealed until then.
ALTER TABLE accounts ADD COLUMN second_key_role TEXT COLLATE "C" CHECK (second_key_role IN ('next', 'former'));
ALTER TABLE accounts ADD COLUMN second_key_since BIGINT;
