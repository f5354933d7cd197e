-- name: list_accounts
SELECT
    account_id, name, created_at, keyring_key_id, wrapped_key, second_keyring_key_id, second_wrapped_key, second_key_role,
    second_key_since
FROM accounts
ORDER BY name;

-- name: list_account_ids
SELECT account_id
FROM accounts
ORDER BY account_id;

-- name: find_account
SELECT
    account_id, name, created_at, keyring_key_id, wrapped_key, second_keyring_key_id, second_wrapped_key, second_key_role,
    second_key_since
FROM accounts
WHERE account_id = :account_id;

-- name: find_account_by_name
SELECT
    account_id, name, created_at, keyring_key_id, wrapped_key, second_keyring_key_id, second_wrapped_key, second_key_role,
    second_key_since
FROM accounts
WHERE name = :name;

-- name: account_exists
SELECT EXISTS (SELECT 1 FROM accounts WHERE account_id = :account_id);

-- name: insert_account
INSERT INTO accounts (account_id, name, created_at, keyring_key_id, wrapped_key)
VALUES (:account_id, :name, :created_at, :keyring_key_id, :wrapped_key)
ON CONFLICT (name) DO NOTHING;

-- name: wipe_account_key
UPDATE accounts SET
    wrapped_key = zeroblob(60),
    second_wrapped_key = CASE WHEN second_wrapped_key IS NOT NULL THEN zeroblob(60) END
WHERE account_id = :account_id;

-- name: delete_account
DELETE FROM accounts
WHERE account_id = :account_id;
