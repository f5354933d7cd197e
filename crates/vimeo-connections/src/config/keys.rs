//! Every configuration key: its kind, default and meaning. `docs/config.md` is made from this table.

use std::fmt::Write as _;

/// One key.
pub(crate) struct Key {
    /// Section and name, with a dot between.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Empty: not set.
    pub(crate) default: &'static str,
    /// Never shown.
    pub(crate) is_secret: bool,
    pub(crate) meaning: &'static str,
}

/// What a value may be.
pub(crate) enum Kind {
    Text,
    Flag,
    Number {
        least: u64,
        most: u64,
    },
    /// In the environment, with commas between.
    List,
    Choice(&'static [&'static str]),
}

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { name, kind, default, is_secret: false, meaning }
}

const fn secret(name: &'static str, meaning: &'static str) -> Key {
    Key { name, kind: Kind::Text, default: "", is_secret: true, meaning }
}

/// In front of every documented path, if nothing else is said.
pub(crate) const DEFAULT_BASE_PATH: &str = "/pictoryapis";

/// Where sources of unknown length are kept, if nothing else is said.
pub(crate) const DEFAULT_SPOOL_DIRECTORY: &str = "./data/spool";

pub(crate) const KEYS: &[Key] = &[
    key(
        "listen",
        Kind::Text,
        "127.0.0.1:8080",
        "Address and port. Another address than loopback needs `tls.*` or `behind_tls_proxy`. Port 0 takes a free one, which the log names.",
    ),
    key("base_path", Kind::Text, DEFAULT_BASE_PATH, "In front of every documented path; `/` for none."),
    key(
        "database_url",
        Kind::Text,
        "sqlite:./data/vimeo-connections.db",
        "`sqlite:` and a path, whose directory is created if missing; or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with commas between several `HOST:PORT`, of which the one that can write is used. Beyond loopback and sockets the server's certificate and name are verified, by the authorities in `ca_file` or in `?sslrootcert=FILE`. A password is percent-encoded, and is better set in the environment than in a file.",
    ),
    key(
        "strict_fields",
        Kind::Flag,
        "false",
        "Refuse unknown fields in request bodies, instead of ignoring them and naming them in `X-Ignored-Fields`.",
    ),
    key(
        "behind_tls_proxy",
        Kind::Flag,
        "false",
        "A proxy in front speaks TLS and writes `X-Forwarded-For`. Without `trusted_proxies` its last entry is used as the client's address for every connection: make sure that only the proxy can connect.",
    ),
    key(
        "trusted_proxies",
        Kind::List,
        "",
        "Addresses and networks (`10.0.0.0/8`) of the proxies in front. Of a connection from one of them, `X-Forwarded-For` is read from its end up to the first address that is not in this list: that is the client's. Connections from elsewhere are their own clients.",
    ),
    key(
        "listener.max_connections",
        Kind::Number { least: 16, most: 1_000_000 },
        "10000",
        "How many clients may be connected at once; fewer where the limit of open files allows only fewer. Beyond that, a few connections are still accepted for `/health/*`, and the rest are closed.",
    ),
    key(
        "listener.max_connections_per_peer",
        Kind::Number { least: 1, most: 1_000_000 },
        "2000",
        "The same for one peer (one address, of IPv6 one /64 network), and at most three quarters of all. `trusted_proxies` are exempt, and with `behind_tls_proxy` alone every peer is.",
    ),
    key(
        "listener.write_timeout_seconds",
        Kind::Number { least: 1, most: 3_600 },
        "30",
        "How long a client may read nothing of what is sent to it before its connection is closed.",
    ),
    key(
        "cors_origins",
        Kind::List,
        "",
        "Origins whose pages may use the service from a browser (`https://app.example.com`), or `*` for all; not set: none. An API key used by a web page is visible to its users.",
    ),
    key(
        "tls.certificate_file",
        Kind::Text,
        "",
        "PEM file of the certificate chain, the service's own first. Read again on SIGHUP.",
    ),
    key("tls.key_file", Kind::Text, "", "PEM file of the certificate's private key."),
    key(
        "ca_file",
        Kind::Text,
        "",
        "PEM file of the root certificates that the servers of Vimeo, of sources and webhooks, and PostgreSQL, must be signed by; for a private authority. Not set: the system's own (`/etc/ssl/certs/ca-certificates.crt` and the like). `SSL_CERT_FILE` and `SSL_CERT_DIR` have no effect.",
    ),
    key(
        "keyring.file",
        Kind::Text,
        "./vimeo-connections.keyring",
        "The file that `vimeo-connections init` makes. Keep it, and its backups, apart from the database and its backups.",
    ),
    key(
        "keyring.group_may_read",
        Kind::Flag,
        "false",
        "Accept a keyring file that its group may read, as some container platforms mount it.",
    ),
    secret(
        "keyring.value",
        "Instead of a file: base64 of 32 random bytes (`openssl rand -base64 32`). Not a passphrase.",
    ),
    key(
        "vimeo.base_url",
        Kind::Text,
        "https://api.vimeo.com",
        "Vimeo's API, or a sandbox of it. https, or http on loopback.",
    ),
    key(
        "vimeo.verification",
        Kind::Choice(&["required", "off", "when-reachable"]),
        "required",
        "`required`: credentials are stored only after Vimeo confirmed them. `off`: stored unchecked, for those who cannot reach Vimeo. `when-reachable` is refused by this version.",
    ),
    key("vimeo.required_scopes", Kind::List, "private,upload,edit", "Scopes that an access token must have."),
    key(
        "vimeo.budget_seconds",
        Kind::Number { least: 1, most: 300 },
        "5",
        "Time limit for checking credentials. From 30 on, a retry with the same `Idempotency-Key` may overtake a creation that takes that long, which is then refused.",
    ),
    secret("vimeo.proxy", "URL of a proxy to reach Vimeo through. The environment's proxies are never used."),
    key(
        "vimeo.upload_hosts",
        Kind::List,
        ".tus.vimeo.com",
        "Hosts that Vimeo's upload links may name (https); with a leading dot, all names below. A sandbox on loopback may also give links on loopback.",
    ),
    key(
        "sources.allow",
        Kind::List,
        "",
        "Hosts (exact names), addresses and networks (`10.1.0.0/16`) that sources and webhooks may be at although they are not public. Everything that is not globally reachable, and this machine itself, is refused otherwise.",
    ),
    key("sources.allow_http", Kind::Flag, "false", "Let sources and webhooks be plain `http://` as well."),
    key(
        "sources.ports",
        Kind::Text,
        "standard",
        "Ports that sources and webhooks may be at: `standard` (443 and 80), `any`, or numbers with commas between.",
    ),
    key(
        "sources.dns_servers",
        Kind::List,
        "",
        "Name servers (address and port) for the hosts of sources and webhooks, instead of this machine's.",
    ),
    key(
        "sources.max_bytes",
        Kind::Number { least: 1, most: 300_000_000_000 },
        "300000000000",
        "The largest file that is fetched from a source. Vimeo takes 300 GB at most.",
    ),
    key(
        "sources.attempts",
        Kind::Number { least: 1, most: 100 },
        "10",
        "Consecutive attempts, with pauses that grow from 1 s to 5 minutes, at a source that cannot be reached, ends early or is too slow, before its upload fails. 10 take about a quarter of an hour.",
    ),
    key(
        "sources.min_bytes_per_second",
        Kind::Number { least: 0, most: 1_000_000_000 },
        "1024",
        "Minimum rate of a source, measured while the service waits for it: a slower one frees its slot, is retried, and finally fails with `SOURCE_TOO_SLOW`. 0: any rate.",
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
        "Largest file that is buffered on the disk during its upload because its source has no known length; 0: such sources are refused. Other sources are never written to the disk.",
    ),
    key(
        "sources.spool_directory",
        Kind::Text,
        DEFAULT_SPOOL_DIRECTORY,
        "Directory of these files, which have no names. Created on first use. The system's directory for temporary files (`TMPDIR`) is not used.",
    ),
    key(
        "sources.spool_total_bytes",
        Kind::Number { least: 1, most: 10_000_000_000_000 },
        "4294967296",
        "How much all of those may take together; one of the largest always fits. An upload that finds no space is tried again later.",
    ),
    key(
        "sources.spool_minutes",
        Kind::Number { least: 1, most: 10_080 },
        "360",
        "How long one of those may take to be read, before that is tried again.",
    ),
    key(
        "uploads.concurrency",
        Kind::Number { least: 1, most: 10_000 },
        "16",
        "How many uploads this node works on at once. The last free slots are reserved for accounts that have none.",
    ),
    key(
        "uploads.per_account",
        Kind::Number { least: 1, most: 10_000 },
        "8",
        "How many uploads of one account are worked on at once, on all nodes together.",
    ),
    key(
        "uploads.per_connection",
        Kind::Number { least: 1, most: 10_000 },
        "4",
        "How many uploads through one connection are worked on at once, on all nodes together.",
    ),
    key(
        "uploads.webhook_concurrency",
        Kind::Number { least: 1, most: 10_000 },
        "16",
        "How many webhooks this node sends at once, beside the uploads; at most 4 of them to one receiver of an account.",
    ),
    key(
        "uploads.chunk_mebibytes",
        Kind::Number { least: 1, most: 512 },
        "512",
        "The most that is sent to Vimeo in one request.",
    ),
    key(
        "uploads.create_seconds",
        Kind::Number { least: 1, most: 25 },
        "20",
        "How long Vimeo may take to make a placeholder, before it counts as unknown whether it did.",
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
        "Time from the first to the last of three searches, after which another placeholder is created.",
    ),
    key(
        "uploads.patience_hours",
        Kind::Number { least: 1, most: 720 },
        "24",
        "How long an upload may wait for Vimeo before it fails, since its start, its last progress or its last resumption.",
    ),
    key(
        "uploads.confirm_seconds",
        Kind::Number { least: 1, most: 86_400 },
        "600",
        "How long Vimeo must refuse requests for an uploaded video, or answer 404, before the upload fails. The video is kept. Shorten it only for tests.",
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
        "Work on uploads. `false`: this node takes them in and leaves the work to others.",
    ),
    key(
        "store.queue",
        Kind::Number { least: 1, most: 1_000_000 },
        "4096",
        "How many writes may wait; more are answered `503 OVERLOADED`.",
    ),
    key(
        "store.coalesce",
        Kind::Choice(&["all", "account"]),
        "all",
        "PostgreSQL: which writes may share a statement. `all`: those of all accounts. `account`: those of one account, for engines that keep accounts on several machines.",
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
        "PostgreSQL: connections that read; each takes many queries at a time.",
    ),
    key(
        "store.writers",
        Kind::Number { least: 1, most: 64 },
        "2",
        "PostgreSQL: connections that write; each writes one batch at a time.",
    ),
    key(
        "store.timeout_seconds",
        Kind::Number { least: 1, most: 60 },
        "5",
        "PostgreSQL: how long connecting, and one statement, may take.",
    ),
    key(
        "api_keys.allow_weak",
        Kind::Flag,
        "false",
        "Accept imported and bootstrap API keys with an estimated strength below 128 bits. Keys that were imported earlier remain valid either way.",
    ),
    key(
        "bootstrap.account",
        Kind::Text,
        "",
        "An account with this name is created at the start if there is none.",
    ),
    key(
        "bootstrap.api_key_file",
        Kind::Text,
        "",
        "The API key in this file becomes one of that account; if the file does not exist, a key is created and written there (mode 0600).",
    ),
    key("log.format", Kind::Choice(&["pretty", "json"]), "pretty", "How log lines on standard error look."),
    key(
        "log.level",
        Kind::Choice(&["off", "error", "warn", "info", "debug", "trace"]),
        "info",
        "What is logged. Libraries are logged from warnings on, whatever this says.",
    ),
    key(
        "log.repeat_seconds",
        Kind::Number { least: 0, most: 86_400 },
        "60",
        "A warning or an error that repeats is logged once, and then one line per this time says how often it came again; 0: each one is logged.",
    ),
    key(
        "shutdown_seconds",
        Kind::Number { least: 0, most: 300 },
        "10",
        "How long requests in flight may take after SIGTERM.",
    ),
];

impl Kind {
    /// Checks a value and brings it to its one text; the error never shows the value.
    pub(crate) fn read(&self, value: &str) -> Result<String, String> {
        let value = value.trim();
        match self {
            Self::Text => Ok(value.to_owned()),
            Self::Flag if matches!(value, "true" | "false") => Ok(value.to_owned()),
            Self::Flag => Err("must be true or false".to_owned()),
            Self::Number { least, most } => match value.parse::<u64>() {
                Ok(number) if (*least..=*most).contains(&number) => Ok(number.to_string()),
                _ => Err(format!("must be a whole number from {least} to {most}")),
            },
            Self::List => Ok(split_list(value).join(",")),
            Self::Choice(choices) if choices.contains(&value) => Ok(value.to_owned()),
            Self::Choice(choices) => Err(format!("must be one of: {}", choices.join(", "))),
        }
    }

    /// A value as it stands in a file.
    pub(crate) fn to_toml(&self, value: &str) -> String {
        match self {
            Self::Text | Self::Choice(_) => toml::Value::from(value).to_string(),
            Self::Flag | Self::Number { .. } => value.to_owned(),
            Self::List => toml::Value::from(split_list(value)).to_string(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Number { least, most } => format!("{least} to {most}"),
            Self::List => "list of texts".to_owned(),
            Self::Choice(choices) => choices.join(", "),
        }
    }
}

/// The entries of a list, without the empty ones.
pub(crate) fn split_list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// A key's environment variable.
pub(crate) fn variable(name: &str) -> String {
    format!("VIMEO_CONNECTIONS_{}", name.replace('.', "__").to_uppercase())
}

/// The table as a page of the documentation.
pub(crate) fn markdown() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Made from the table in `crates/vimeo-connections/src/config/keys.rs`; a test fails when this page is stale.\n\n\
         Built-in defaults, then the file (`--config PATH`, else `./vimeo-connections.toml` if it is there), then the\n\
         environment; the later wins. A key with a dot is in a section of the file (`[vimeo]`, `base_url = …`). Unknown\n\
         keys and variables are refused. `vimeo-connections config check` shows what is in effect, and from where.\n\n\
         | key | environment variable | values | default | meaning |\n|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let default =
            if key.default.is_empty() { "not set".to_owned() } else { format!("`{}`", key.default) };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {} | {default} | {}{} |",
            key.name,
            variable(key.name),
            key.kind.describe(),
            key.meaning,
            if key.is_secret { " Secret: never shown." } else { "" }
        );
    }
    page
}
