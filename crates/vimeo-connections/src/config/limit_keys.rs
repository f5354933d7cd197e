//! The configuration keys of limits, and all keys.

use domain::limits::LIMIT_MAX;

use super::keys::{KEYS, Key, Reload, key};
use super::kind::Kind;
use super::webhook_keys::WEBHOOKS;

const COUNT: Kind = Kind::Number { least: 0, most: LIMIT_MAX };

/// All keys.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    let subjects = [
        super::key_holder::KEYS,
        super::public_url::KEYS,
        super::dashboard::KEYS,
        super::oidc::KEYS,
        super::health::KEYS,
        WEBHOOKS,
        LIMITS,
    ];
    KEYS.iter().chain(subjects.into_iter().flatten())
}

const LIMITS: &[Key] = &[
    key(
        "limits.requests_per_minute",
        COUNT,
        "120000",
        "Requests of one account per minute, with all its API keys; see `limits.burst_seconds`. Further ones get `429 RATE_LIMITED`. Each node counts for itself. 0: no limit, as for all numbers of requests and things here. `accounts limits` changes the limits of one account.",
    )
    .on_reload(Reload::Yes),
    key("limits.key_requests_per_minute", COUNT, "60000", "The same for one API key.").on_reload(Reload::Yes),
    key(
        "limits.failed_keys_per_minute",
        COUNT,
        "300",
        "Requests without a valid API key per minute from one address (IPv6: one /64 network). Further ones get `429` before the database is asked; API keys that were valid recently continue to work. Behind a proxy, set `behind_tls_proxy` or `trusted_proxies`.",
    )
    .on_reload(Reload::Yes),
    key(
        "limits.burst_seconds",
        Kind::Number { least: 1, most: 60 },
        "1",
        "How many requests these limits admit at once after a pause, while several accounts send requests to this node: as many as they admit in this time, but at least 600 (or all, if a minute admits fewer). With the defaults, 2,000 of an account and 1,000 of an API key. A longer burst lets one account slow down the others for longer. An account that is alone may send those of a whole minute.",
    )
    .on_reload(Reload::Yes),
    key(
        "limits.connections",
        COUNT,
        "1000000",
        "Connections of one account. A further one gets `422 LIMIT_REACHED`.",
    )
    .on_reload(Reload::Yes),
    key("limits.jobs_in_progress", COUNT, "100000", "Uploads of one account that have not ended.").on_reload(Reload::Yes),
    key(
        "limits.idempotency_records",
        COUNT,
        "1000000",
        "Values of `Idempotency-Key` that one account has used within 24 hours.",
    )
    .on_reload(Reload::Yes),
    key("limits.event_streams", COUNT, "1000", "Open event streams of one account on this node.").on_reload(Reload::Yes),
    key("limits.webhook_endpoints", COUNT, "20", "Webhook endpoints of one account.").on_reload(Reload::Yes),
    key("limits.open_authorizations", COUNT, "1000", "Authorizations of one account that have not ended.").on_reload(Reload::Yes),
    key(
        "limits.concurrent_writes",
        COUNT,
        "512",
        "Writing requests in progress on this node, except for those that wait for Vimeo. Further ones get `503 OVERLOADED` at once. A lower value shortens response times under overload.",
    )
    .on_reload(Reload::Yes),
    key(
        "limits.account_concurrent_writes",
        COUNT,
        "16",
        "The same for the writing requests of one account, while other accounts send requests to this node too. For a moment it may have more: 200 per minute may begin beyond this number.",
    )
    .on_reload(Reload::Yes),
    key(
        "limits.concurrent_reads",
        COUNT,
        "512",
        "The same for reading requests. Health checks have no limit.",
    )
    .on_reload(Reload::Yes),
];
