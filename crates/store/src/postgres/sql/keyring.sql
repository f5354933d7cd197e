-- name: list_keyring_checks
SELECT keyring_key_id, check_value
FROM keyring_checks
ORDER BY keyring_key_id;

-- name: insert_keyring_check
INSERT INTO keyring_checks (keyring_key_id, check_value)
VALUES (:keyring_key_id, :check_value)
ON CONFLICT (keyring_key_id) DO NOTHING;

-- name: find_service_secret
SELECT keyring_key_id, wrapped_key
FROM service_secrets
WHERE purpose = 'service';

-- name: insert_service_secret
INSERT INTO service_secrets (purpose, keyring_key_id, wrapped_key)
VALUES ('service', :keyring_key_id, :wrapped_key)
ON CONFLICT (purpose) DO NOTHING;
