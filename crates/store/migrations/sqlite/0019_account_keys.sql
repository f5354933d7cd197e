-- lowest application schema: 9
-- Replacing the key of an account: while that lasts, the account has a second key, which only decrypts. An earlier version
-- cannot read what the new key has sealed.
ALTER TABLE accounts ADD COLUMN second_keyring_key_id TEXT REFERENCES keyring_checks (keyring_key_id);
ALTER TABLE accounts ADD COLUMN second_wrapped_key BLOB CHECK (length(second_wrapped_key) = 60);
-- next: it will seal soon. former: it has sealed until then.
ALTER TABLE accounts ADD COLUMN second_key_role TEXT CHECK (second_key_role IN ('next', 'former'));
ALTER TABLE accounts ADD COLUMN second_key_since INTEGER;
