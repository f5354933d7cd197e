-- name: list_webhook_secrets
-- The newest and its predecessor. An earlier version may have left more, which no longer sign anything.
SELECT secret_id, created_at, wrapped_key, envelope
FROM webhook_secrets
WHERE account_id = :account_id
    AND (retires_at IS NULL
        OR retires_at > coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint))
ORDER BY retires_at IS NULL DESC, created_at DESC, secret_id DESC
LIMIT 2;

-- name: insert_webhook_secret
-- The last secret stays valid for :overlap_micros; those before it are deleted, and it too without an overlap.
WITH clock AS (
    SELECT coalesce(:now::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now
), active AS (
    SELECT clock.now
    FROM clock
    WHERE CASE
        WHEN :event_api_key_id::text IS NULL THEN EXISTS (
            SELECT 1 FROM accounts AS a WHERE a.account_id = :account_id)
        ELSE EXISTS (
            SELECT 1
            FROM api_keys AS k
            WHERE k.account_id = :account_id
                AND k.api_key_id = :event_api_key_id::text
                AND k.revoked_at IS NULL
                AND (k.expires_at IS NULL OR k.expires_at > clock.now))
        END
), retired AS (
    UPDATE webhook_secrets AS s SET retires_at = active.now + :overlap_micros::bigint
    FROM active
    WHERE s.account_id = :account_id
        AND s.retires_at IS NULL
        AND :overlap_micros::bigint > 0
), deleted AS (
    DELETE FROM webhook_secrets AS s
    USING active
    WHERE s.account_id = :account_id
        AND (s.retires_at IS NOT NULL OR :overlap_micros::bigint = 0)
), inserted AS (
    INSERT INTO webhook_secrets (account_id, secret_id, created_at, wrapped_key, envelope)
    SELECT :account_id, :secret_id::text, :created_at::bigint, :wrapped_key::bytea, :envelope::bytea
    FROM active
    RETURNING account_id
), logged AS (
    INSERT INTO audit_events (
        account_id, audit_event_id, at, api_key_id, actor_kind, actor_name, remote, action, subject, refusal)
    SELECT
        account_id, :event_id::text, :event_at::bigint, :event_api_key_id::text, :event_actor_kind::text,
        :event_actor_name::text, :event_remote::text,
        :event_action::text, :event_subject::text, :event_refusal::text
    FROM inserted
)
SELECT count(*) AS written
FROM inserted;
