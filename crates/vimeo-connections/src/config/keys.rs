//! All configuration keys with their kinds, defaults and meanings. `docs/config.md` is generated from this table.

pub(crate) use super::key::{Key, Reload};
pub(super) use super::key::{key, secret};
pub(crate) use super::kind::{Kind, split_list, variable};

/// The default prefix of all documented paths.
pub(crate) const DEFAULT_BASE_PATH: &str = "/pictoryapis";

/// The default directory for buffered sources.
pub(crate) const DEFAULT_SPOOL_DIRECTORY: &str = "./data/spool";

pub(crate) const KEYS: &[Key] = &[
    key(
        "listen",
        Kind::Text,
        "127.0.0.1:8080",
        "Address and port. Addresses other than loopback need `tls.*` or `behind_tls_proxy`. Port 0 uses a free port, which is logged.",
    ),
    key("base_path", Kind::Text, DEFAULT_BASE_PATH, "Prefix of all documented paths; `/` for none."),
    key(
        "database_url",
        Kind::Text,
        "sqlite:./data/vimeo-connections.db",
        "`sqlite:` and a path, whose directory is created if missing; or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with several `HOST:PORT` separated by commas, of which the writable one is used. Except on loopback and sockets, the server's certificate and name are verified with the authorities in `ca_file` or in `?sslrootcert=FILE`. Percent-encode the password, and prefer the environment to a file for it.",
    ),
    key(
        "strict_fields",
        Kind::Flag,
        "false",
        "Reject unknown fields in request bodies instead of ignoring them and naming them in `X-Ignored-Fields`.",
    ),
    key(
        "behind_tls_proxy",
        Kind::Flag,
        "false",
        "A proxy terminates TLS and sets `X-Forwarded-For`. Without `trusted_proxies`, the last entry of that header is used as the client's address on every connection: make sure that only the proxy can connect.",
    )
    .on_reload(Reload::Yes),
    key(
        "trusted_proxies",
        Kind::List,
        "",
        "Addresses and networks (`10.0.0.0/8`) of trusted proxies. On a connection from one of them, the client's address is the last entry of `X-Forwarded-For` that is not in this list. On other connections it is the peer's address.",
    )
    .on_reload(Reload::Yes),
    key(
        "listener.max_connections",
        Kind::Number { least: 16, most: 1_000_000 },
        "10000",
        "Maximum number of client connections; reduced if the limit of open files is too low. Beyond that, a few connections are still accepted for `/health/*`, and the rest are closed.",
    ),
    key(
        "listener.max_connections_per_peer",
        Kind::Number { least: 1, most: 1_000_000 },
        "2000",
        "The same for one peer (an IPv4 address or an IPv6 /64 network); at most three quarters of all connections. `trusted_proxies` are exempt; with `behind_tls_proxy` only, every peer is.",
    ),
    key(
        "listener.write_timeout_seconds",
        Kind::Number { least: 1, most: 3_600 },
        "30",
        "How long a client may stop reading before its connection is closed.",
    ),
    key(
        "cors_origins",
        Kind::List,
        "",
        "Origins that may use the service from a browser (`https://app.example.com`), or `*` for all; not set: none. An API key used by a web page is visible to its users.",
    ),
    key(
        "tls.certificate_file",
        Kind::Text,
        "",
        "PEM file with the certificate chain, the service's certificate first. SIGHUP reads it and the key again, also if no key has changed.",
    )
    .on_reload(Reload::WhileSet),
    key("tls.key_file", Kind::Text, "", "PEM file with the certificate's private key.").on_reload(Reload::WhileSet),
    key(
        "ca_file",
        Kind::Text,
        "",
        "PEM file with the root certificates for connections to Vimeo, sources, webhooks and PostgreSQL; for a private authority. Not set: the system's (`/etc/ssl/certs/ca-certificates.crt` or similar). `SSL_CERT_FILE` and `SSL_CERT_DIR` have no effect.",
    ),
    key(
        "keyring.file",
        Kind::Text,
        "./vimeo-connections.keyring",
        "The file that `vimeo-connections init` creates. Keep it and its backups separate from the database and its backups.",
    )
    .on_reload(Reload::Yes),
    key(
        "keyring.group_may_read",
        Kind::Flag,
        "false",
        "Accept a keyring file that is readable by its group, as some container platforms mount it.",
    )
    .on_reload(Reload::Yes),
    secret(
        "keyring.value",
        "Instead of a file: the base64 of 32 random bytes (`openssl rand -base64 32`). Not a passphrase.",
    )
    .on_reload(Reload::Yes),
    key(
        "vimeo.base_url",
        Kind::Text,
        "https://api.vimeo.com",
        "Base URL of Vimeo's API or of a sandbox. https, or http on loopback.",
    ),
    key(
        "vimeo.verification",
        Kind::Choice(&["required", "when-reachable", "off"]),
        "required",
        "`required`: credentials are stored only after Vimeo has confirmed them. `when-reachable`: the same, but if Vimeo cannot be asked, they are stored as `unverified` and checked as soon as it answers. `off`: stored without a check, for networks that cannot reach Vimeo.",
    ),
    key("vimeo.required_scopes", Kind::List, "private,upload,edit", "Scopes that an access token must have."),
    key(
        "vimeo.budget_seconds",
        Kind::Number { least: 1, most: 300 },
        "5",
        "Time limit for checking credentials. From 30 on, a retry with the same `Idempotency-Key` may overtake a slow creation, which then fails.",
    ),
    secret(
        "vimeo.proxy",
        "URL of an HTTP proxy for requests to Vimeo. Proxies from the environment are ignored.",
    ),
    key(
        "vimeo.upload_hosts",
        Kind::List,
        ".tus.vimeo.com",
        "Hosts allowed in Vimeo's upload links (https); with a leading dot, all subdomains. A sandbox on loopback may also return links on loopback.",
    ),
    key(
        "sources.allow",
        Kind::List,
        "",
        "Hosts (exact names), addresses and networks (`10.1.0.0/16`) that are allowed for sources and webhooks although they are not public. All other addresses that are not globally reachable, and this machine itself, are blocked.",
    ),
    key("sources.allow_http", Kind::Flag, "false", "Allow plain `http://` for sources and webhooks."),
    key(
        "sources.ports",
        Kind::Text,
        "standard",
        "Ports allowed for sources and webhooks: `standard` (443 and 80), `any`, or comma-separated numbers.",
    ),
    key(
        "sources.dns_servers",
        Kind::List,
        "",
        "DNS servers (address and port) for the hosts of sources and webhooks, instead of the system's.",
    ),
    key(
        "sources.max_bytes",
        Kind::Number { least: 1, most: 300_000_000_000 },
        "300000000000",
        "Largest file that is fetched from a source. Vimeo's limit is 300 GB.",
    ),
    key(
        "sources.attempts",
        Kind::Number { least: 1, most: 100 },
        "10",
        "Consecutive attempts, with delays from 1 s to 5 minutes, at a source that is unreachable, ends early or is too slow, before the upload fails. 10 attempts take about a quarter of an hour.",
    ),
    key(
        "sources.min_bytes_per_second",
        Kind::Number { least: 0, most: 1_000_000_000 },
        "1024",
        "Minimum rate of a source, measured while the service waits for it: a slower one frees its slot, is retried, and finally fails with `SOURCE_TOO_SLOW`. 0: no minimum.",
    ),
    key(
        "sources.min_rate_window_seconds",
        Kind::Number { least: 1, most: 3_600 },
        "60",
        "The time over which that rate is measured.",
    ),
    key(
        "sources.spool_max_bytes",
        Kind::Number { least: 0, most: 300_000_000_000 },
        "536870912",
        "Largest file that is buffered on disk during its upload because its source has no known length; 0: such sources are rejected. Other sources are never written to disk.",
    ),
    key(
        "sources.spool_directory",
        Kind::Text,
        DEFAULT_SPOOL_DIRECTORY,
        "Directory for these files, which are unnamed. Created on first use. The system's directory for temporary files (`TMPDIR`) is not used.",
    ),
    key(
        "sources.spool_total_bytes",
        Kind::Number { least: 1, most: 10_000_000_000_000 },
        "4294967296",
        "Total size of all these files; one of maximum size always fits. An upload without space is retried later.",
    ),
    key(
        "sources.spool_minutes",
        Kind::Number { least: 1, most: 10_080 },
        "360",
        "Time limit for reading one of these files before it is retried.",
    ),
    key(
        "uploads.concurrency",
        Kind::Number { least: 1, most: 10_000 },
        "16",
        "Concurrent uploads on this node. The last free slots are reserved for accounts without a running upload.",
    ),
    key(
        "uploads.per_account",
        Kind::Number { least: 1, most: 10_000 },
        "8",
        "Concurrent uploads of one account on all nodes.",
    ),
    key(
        "uploads.per_connection",
        Kind::Number { least: 1, most: 10_000 },
        "4",
        "Concurrent uploads through one connection on all nodes.",
    ),
    key(
        "uploads.webhook_concurrency",
        Kind::Number { least: 1, most: 10_000 },
        "16",
        "Concurrent webhook deliveries on this node, in addition to uploads; at most 4 to one receiver of an account. Receivers that fail take at most half of them, and a quarter is left to those that have answered well.",
    ),
    key(
        "uploads.chunk_mebibytes",
        Kind::Number { least: 1, most: 512 },
        "512",
        "Largest amount of data sent to Vimeo in one request.",
    ),
    key(
        "uploads.create_seconds",
        Kind::Number { least: 1, most: 25 },
        "20",
        "Timeout for creating a video at Vimeo. After that, it is unknown whether Vimeo created it.",
    ),
    key(
        "uploads.grace_seconds",
        Kind::Number { least: 0, most: 600 },
        "15",
        "Delay after `create_seconds` before recent videos are searched for the placeholder.",
    ),
    key(
        "uploads.look_seconds",
        Kind::Number { least: 1, most: 3_600 },
        "60",
        "Time from the first to the last of three searches, after which the video is created again.",
    ),
    key(
        "uploads.patience_hours",
        Kind::Number { least: 1, most: 720 },
        "24",
        "How long an upload may wait for Vimeo before it fails, counted from its start, its last progress or its last resumption.",
    ),
    key(
        "uploads.confirm_seconds",
        Kind::Number { least: 1, most: 86_400 },
        "600",
        "How long Vimeo must reject requests for an uploaded video, or return 404, before the upload fails. The video is kept. Shorten it only for tests.",
    ),
    key(
        "uploads.link_hours",
        Kind::Number { least: 1, most: 720 },
        "24",
        "How long a client may send nothing to its upload link before the upload fails.",
    ),
    key(
        "uploads.work",
        Kind::Flag,
        "true",
        "Run uploads. `false`: this node accepts uploads, but other nodes run them.",
    ),
    key(
        "retention.jobs_days",
        Kind::Number { least: 0, most: 36_500 },
        "90",
        "How long a job is kept after its end, and after its webhook. 0: for ever.",
    ),
    key(
        "retention.failed_request_days",
        Kind::Number { least: 0, most: 365 },
        "7",
        "How long the request of a failed job is kept sealed, so that it can be retried. 0: it is wiped within minutes.",
    ),
    key(
        "retention.sweep_seconds",
        Kind::Number { least: 1, most: 86_400 },
        "600",
        "How often expired records are deleted.",
    ),
    key(
        "store.queue",
        Kind::Number { least: 1, most: 1_000_000 },
        "4096",
        "Maximum number of queued writes; further ones get `503 OVERLOADED`.",
    ),
    key(
        "store.coalesce",
        Kind::Choice(&["all", "account"]),
        "all",
        "PostgreSQL: which writes may share a statement. `all`: those of all accounts. `account`: those of one account, for engines that distribute accounts over several machines.",
    ),
    key(
        "store.prepared_statements",
        Kind::Choice(&["session", "transaction"]),
        "session",
        "PostgreSQL: how long prepared statements and settings last. `session`: as long as the connection, for a server, or a pooler in session mode. `transaction`: for one transaction, for a pooler such as PgBouncer in transaction mode; statements are then sent without a name, and the role's `search_path` must start with `public`.",
    ),
    key(
        "store.readers",
        Kind::Number { least: 1, most: 64 },
        "3",
        "PostgreSQL: number of reading connections; each pipelines many queries.",
    ),
    key(
        "store.writers",
        Kind::Number { least: 1, most: 64 },
        "2",
        "PostgreSQL: number of writing connections; each writes one batch at a time.",
    ),
    key(
        "store.timeout_seconds",
        Kind::Number { least: 1, most: 60 },
        "5",
        "PostgreSQL: timeout for connecting, and for one statement.",
    ),
    key(
        "api_keys.allow_weak",
        Kind::Flag,
        "false",
        "Accept imported and bootstrap API keys with an estimated strength below 128 bits. Keys that were imported earlier remain valid either way.",
    ),
    key(
        "audit.retention_days",
        Kind::Number { least: 0, most: 36_500 },
        "0",
        "How many days audit events are kept; 0: for ever. Older ones are deleted in the background, once they are linked. A signed checkpoint remains, from which the chain is verified.",
    ),
    key(
        "bootstrap.account",
        Kind::Text,
        "",
        "An account with this name is created on startup unless it exists.",
    ),
    key(
        "bootstrap.api_key_file",
        Kind::Text,
        "",
        "The API key in this file is imported for that account; if the file does not exist, a key is created and written there (mode 0600).",
    ),
    key("log.format", Kind::Choice(&["pretty", "json"]), "pretty", "Format of log lines on standard error."),
    key(
        "log.level",
        Kind::Choice(&["off", "error", "warn", "info", "debug", "trace"]),
        "info",
        "Minimum level. Libraries are logged from warnings on, whatever this is.",
    )
    .on_reload(Reload::Yes),
    key(
        "log.repeat_seconds",
        Kind::Number { least: 0, most: 86_400 },
        "60",
        "A repeated warning or error is logged once, and then counted in one line per this period; 0: every one is logged.",
    ),
    key(
        "otlp.endpoint",
        Kind::Text,
        "",
        "Base URL of a receiver of OpenTelemetry traces (OTLP, protobuf over HTTP), such as `http://127.0.0.1:4318`; `/v1/traces` is appended. A request with a `traceparent` header continues its trace. Not set: no traces.",
    ),
    key(
        "otlp.sample_percent",
        Kind::Number { least: 0, most: 100 },
        "100",
        "Part of the traces that start here and are exported. A trace that a client started is exported if the client says so.",
    ),
    key(
        "metrics.listen",
        Kind::Text,
        "",
        "Address and port of a second listener, for Prometheus: `GET /metrics`, over plain HTTP and without a key. It serves nothing else and shows no secrets, but let only your monitoring reach it. Not set: metrics are not served.",
    ),
    key(
        "shutdown_seconds",
        Kind::Number { least: 0, most: 300 },
        "10",
        "Time limit for requests in flight after SIGTERM.",
    ),
];
