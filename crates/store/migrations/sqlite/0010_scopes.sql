-- lowest application schema: 9
-- What an API key allows, where it comes from, and when it was last used. A key of an earlier version has no scopes here and
-- allows everything. `row_mac` covers the scopes, the creator and the rotated key, so that an earlier version does not accept
-- a key that has them, rather than give it more than it allows.

-- Names of scopes, separated by spaces.
ALTER TABLE api_keys ADD COLUMN scopes TEXT;
-- `operator`, or the key that created it.
ALTER TABLE api_keys ADD COLUMN created_by TEXT;
-- The key that it replaces.
ALTER TABLE api_keys ADD COLUMN rotated_from TEXT;
-- To the hour.
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
