//! The configuration keys of webhooks, and how long their deliveries are kept.

use super::keys::{Key, key, secret};
use super::kind::Kind;

pub(super) const WEBHOOKS: &[Key] = &[
    key(
        "webhooks.retry_delays_seconds",
        Kind::List,
        "5,60,300,1800,3600,7200,14400,28800,36000,43200,57600,66000",
        "Delays between the attempts of a webhook, each from 1 to 604800 seconds and varied by a tenth; at most 32. After the last one no attempt follows: with the defaults after three days. A `Retry-After` of the receiver makes a delay longer, up to a day. A delivery that waits behind others, until it is a day older than the sum of the delays, ends at its next failure.",
    ),
    key(
        "webhooks.disable_after_seconds",
        Kind::Number { least: 1, most: 31_536_000 },
        "432000",
        "An endpoint that has failed for this long, without one success, is disabled when the next of its deliveries is exhausted. The default is five days.",
    ),
    secret(
        "webhooks.operator_url",
        "URL of an endpoint of the operator, which receives the events `connection.unhealthy` and `connection.recovered` of all accounts, with the account's ID and name. Checked like a user's URL: see `sources.*`. Needs `webhooks.operator_secret_file`.",
    ),
    key(
        "webhooks.operator_secret_file",
        Kind::Text,
        "",
        "File with the secret that signs these events: `whsec_` and the base64 of 24 to 64 random bytes (`echo \"whsec_$(openssl rand -base64 32)\"`).",
    ),
    key(
        "retention.webhook_delivery_days",
        Kind::Number { least: 0, most: 3_650 },
        "30",
        "How long the delivery of a webhook is kept after its end. 0: it is deleted within minutes.",
    ),
];
