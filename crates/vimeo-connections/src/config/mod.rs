//! The configuration: built-in defaults, then a file, then the environment. All keys are in [`limit_keys::all`]; unknown
//! ones are errors.

mod dashboard;
mod effective;
mod file;
mod health;
mod key;
mod key_holder;
mod keys;
mod kind;
mod kubernetes;
mod layers;
mod limit_keys;
mod limits;
mod listener;
mod oidc;
mod page;
mod postgres;
mod public_url;
mod reload;
mod retention;
mod roots;
mod scopes;
mod traces;
mod uploads;
mod webhook_keys;
mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use app::{
    DatabaseUrl, HealthOptions, LimitSettings, PostgresOptions, PreparedStatements, PublicUrl, WeakKeys,
};
use domain::account::Label;
use rustls::ClientConfig;
use seal::keyring::Keyring;
use seal::keyring_file::GroupAccess;
use thiserror::Error;
use tracing_subscriber::filter::LevelFilter;
use vimeo::{BaseUrl, ProxyUrl, UploadHost};
use web::{ClientAddress, ConcurrencyLimits, Cors, UnknownFields};

pub(crate) use self::oidc::OidcConfig;
pub(crate) use dashboard::DashboardConfig;
pub(crate) use effective::effective;
pub(crate) use health::VerificationMode;
pub(crate) use key_holder::KeyHolderConfig;
pub(crate) use keys::DEFAULT_BASE_PATH;
pub(crate) use layers::{API_KEY_VARIABLE, ClientVariables, Environment, Layers, Source, URL_VARIABLE};
pub(crate) use listener::{ExposedListener, ListenerConfig};
pub(crate) use page::markdown;
pub(crate) use reload::{Changes, Snapshot};
pub(crate) use retention::RetentionConfig;
pub(crate) use roots::client_tls;
pub(crate) use traces::TracesConfig;
pub(crate) use uploads::UploadsConfig;
pub(crate) use webhooks::WebhooksConfig;

/// The validated configuration.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) listener: ListenerConfig,
    /// Where metrics are served, if they are.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Where traces are exported to, if they are.
    pub(crate) traces: Option<TracesConfig>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) base_path: String,
    /// The origin for browsers, if it is configured.
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) cors: Cors,
    pub(crate) client_address: ClientAddress,
    /// `behind_tls_proxy`.
    pub(crate) is_behind_tls_proxy: bool,
    pub(crate) unknown_fields: UnknownFields,
    /// TLS configuration for clients; `None` if the machine has no root certificates.
    pub(crate) tls_client: Option<ClientConfig>,
    pub(crate) database_url: DatabaseUrl,
    pub(crate) queue: usize,
    pub(crate) postgres: PostgresOptions,
    /// For a database that is not the configured one.
    pub(crate) prepared_statements: PreparedStatements,
    /// The same.
    pub(crate) store_timeout: Duration,
    pub(crate) keyring: KeyringSource,
    /// What encrypts the keyring file, if something does.
    pub(crate) key_holder: Option<KeyHolderConfig>,
    pub(crate) vimeo: VimeoConfig,
    pub(crate) uploads: UploadsConfig,
    pub(crate) health: HealthOptions,
    pub(crate) dashboard: DashboardConfig,
    /// The identity provider, if there is one.
    pub(crate) oidc: Option<OidcConfig>,
    pub(crate) webhooks: WebhooksConfig,
    pub(crate) retention: RetentionConfig,
    pub(crate) bootstrap: Option<Bootstrap>,
    pub(crate) weak_keys: WeakKeys,
    pub(crate) limits: LimitSettings,
    pub(crate) concurrency: ConcurrencyLimits,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LevelFilter,
    /// How long a repeated failure is counted before the count is logged; zero: every one is logged.
    pub(crate) log_repeat: Duration,
    pub(crate) shutdown: Duration,
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Where the keyring comes from.
#[derive(Debug)]
pub(crate) enum KeyringSource {
    File { path: PathBuf, group: GroupAccess },
    Value(Keyring),
}

/// Settings for Vimeo's API.
#[derive(Debug)]
pub(crate) struct VimeoConfig {
    pub(crate) base_url: BaseUrl,
    pub(crate) verification: VerificationMode,
    pub(crate) required_scopes: Vec<String>,
    pub(crate) budget: Duration,
    pub(crate) proxy: Option<ProxyUrl>,
    pub(crate) upload_hosts: Vec<UploadHost>,
}

/// An account and a key that are created on startup unless they exist.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    pub(crate) account: Label,
    pub(crate) api_key_file: Option<PathBuf>,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Json,
    Pretty,
}

impl LogFormat {
    fn of(layers: &Layers) -> Self {
        match layers.text("log.format") {
            Some("json") => Self::Json,
            _ => Self::Pretty,
        }
    }
}

/// The configuration is invalid. Each line says what to fix.
#[derive(Debug, Error)]
#[error("the configuration is invalid:\n{}", .errors.iter().map(|error| format!("  - {error}")).collect::<Vec<_>>().join("\n"))]
pub(crate) struct ConfigError {
    errors: Vec<String>,
    /// The value of `log.format`, as far as it could be read.
    pub(crate) log_format: LogFormat,
}

impl Config {
    /// Reads the file (`--config`, else `./vimeo-connections.toml` if it exists) and the environment.
    pub(crate) fn load(file: Option<&Path>, environment: Environment) -> Result<(Self, Layers), ConfigError> {
        let layers = Layers::read(file, environment)?;
        let config = Self::from_layers(&layers)?;
        Ok((config, layers))
    }

    pub(crate) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let mut reader = Reader { layers, errors: Vec::new() };
        let config = reader.read();
        match config {
            Some(config) if reader.errors.is_empty() => Ok(config),
            _ => Err(ConfigError { errors: reader.errors, log_format: LogFormat::of(layers) }),
        }
    }
}

/// Reads typed values and collects errors.
struct Reader<'a> {
    layers: &'a Layers,
    errors: Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self) -> Option<Config> {
        let listen = self.address("listen", "127.0.0.1:8080");
        let tls = self.tls();
        let is_behind_tls_proxy = self.flag("behind_tls_proxy");
        if let Some(error) =
            listen.and_then(|listen| listener::exposure(listen, tls.is_some() || is_behind_tls_proxy).err())
        {
            self.errors.push(format!("listen: {error}"));
        }
        let client_address = self.client_address();
        let is_strict = self.flag("strict_fields");
        let unknown_fields = if is_strict { UnknownFields::Reject } else { UnknownFields::Ignore };
        let base_path = self.parsed("base_path", parse_base_path);
        let cors = self.parsed("cors_origins", |text| Cors::parse(&keys::split_list(text)));
        let tls_client = self.tls_client();
        let database_url =
            self.parsed("database_url", |url| DatabaseUrl::parse(url).map_err(|error| error.to_string()));
        let prepared_statements = match self.text("store.prepared_statements").as_deref() {
            Some("transaction") => PreparedStatements::Transaction,
            _ => PreparedStatements::Session,
        };
        let store_timeout = self.number("store.timeout_seconds").map(Duration::from_secs);
        let database_url = database_url.zip(store_timeout).map(|(url, timeout)| {
            url.trusting(tls_client.as_ref()).preparing(prepared_statements).with_timeout(timeout)
        });
        let postgres = self.postgres();
        let queue = self.number("store.queue").and_then(|queue| usize::try_from(queue).ok());
        let keyring = self.keyring();
        let key_holder = self.key_holder(tls_client.as_ref());
        let vimeo = self.vimeo();
        let uploads = self.uploads();
        let webhooks = self.webhooks();
        let bootstrap = self.bootstrap();
        let oidc = self.oidc(listen);
        let log_level = self.log_level();
        Some(Config {
            listen: listen?,
            listener: self.listener()?,
            metrics_listen: self.metrics_listen(),
            traces: self.traces(tls_client.as_ref()),
            tls,
            base_path: base_path?,
            public_url: self.public_url(),
            cors: cors?,
            client_address: client_address?,
            is_behind_tls_proxy,
            unknown_fields,
            tls_client,
            database_url: database_url?,
            queue: queue?,
            postgres: postgres?,
            prepared_statements,
            store_timeout: store_timeout?,
            keyring: keyring?,
            key_holder,
            vimeo: vimeo?,
            uploads: uploads?,
            health: self.health()?,
            dashboard: self.dashboard()?,
            oidc,
            webhooks: webhooks?,
            retention: self.retention()?,
            bootstrap,
            weak_keys: if self.flag("api_keys.allow_weak") { WeakKeys::Accept } else { WeakKeys::Refuse },
            limits: self.limits()?,
            concurrency: self.concurrency()?,
            log_format: LogFormat::of(self.layers),
            log_level: log_level?,
            log_repeat: Duration::from_secs(self.number("log.repeat_seconds")?),
            shutdown: Duration::from_secs(self.number("shutdown_seconds")?),
        })
    }

    fn log_level(&mut self) -> Option<LevelFilter> {
        self.parsed("log.level", |text| text.parse().map_err(|_| "is not a log level".to_owned()))
    }

    fn tls_client(&mut self) -> Option<ClientConfig> {
        let Some(path) = self.text("ca_file") else { return roots::of_system() };
        match roots::of_file(Path::new(&path)) {
            Ok(tls_client) => Some(tls_client),
            Err(error) => self.error("ca_file", &error),
        }
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        match (self.text("tls.certificate_file"), self.text("tls.key_file")) {
            (Some(certificate), Some(key)) => {
                Some(TlsFiles { certificate: certificate.into(), key: key.into() })
            }
            (None, None) => None,
            _ => self.error("tls.certificate_file", "and tls.key_file go together"),
        }
    }

    fn keyring(&mut self) -> Option<KeyringSource> {
        let group =
            if self.flag("keyring.group_may_read") { GroupAccess::Read } else { GroupAccess::Forbidden };
        match self.text("keyring.value") {
            Some(_) if self.layers.source("keyring.file") != Source::Default => {
                self.error("keyring.value", "and keyring.file are both set: only one can be used")
            }
            Some(value) => match Keyring::from_value(&value) {
                Ok(keyring) => Some(KeyringSource::Value(keyring)),
                Err(error) => self.error("keyring.value", &error.to_string()),
            },
            // The platform did not inject the secret. Falling back to a file would be a mistake.
            None if self.layers.source("keyring.value") != Source::Default => {
                self.error("keyring.value", "is empty")
            }
            None => Some(KeyringSource::File { path: self.text("keyring.file")?.into(), group }),
        }
    }

    fn vimeo(&mut self) -> Option<VimeoConfig> {
        let base_url =
            self.parsed("vimeo.base_url", |text| BaseUrl::parse(text).map_err(|error| error.to_string()));
        let verification = self.parsed("vimeo.verification", VerificationMode::parse);
        let budget = self.number("vimeo.budget_seconds").map(Duration::from_secs);
        let required_scopes =
            self.parsed("vimeo.required_scopes", |text| scopes::parse(keys::split_list(text)));
        let proxy = match (self.text("vimeo.proxy"), &base_url) {
            (Some(proxy), Some(base_url)) => match ProxyUrl::parse(&proxy, base_url) {
                Ok(proxy) => Some(proxy),
                Err(error) => self.error("vimeo.proxy", &error.to_string()),
            },
            _ => None,
        };
        let upload_hosts = self.parsed("vimeo.upload_hosts", |text| {
            let hosts = keys::split_list(text).into_iter().map(|host| UploadHost::parse(&host));
            hosts.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
        });
        Some(VimeoConfig {
            base_url: base_url?,
            verification: verification?,
            required_scopes: required_scopes?,
            budget: budget?,
            proxy,
            upload_hosts: upload_hosts?,
        })
    }

    fn bootstrap(&mut self) -> Option<Bootstrap> {
        let api_key_file = self.text("bootstrap.api_key_file").map(PathBuf::from);
        let Some(account) = self.text("bootstrap.account") else {
            return api_key_file
                .and_then(|_| self.error("bootstrap.api_key_file", "needs bootstrap.account"));
        };
        match Label::parse(&account) {
            Ok(account) => Some(Bootstrap { account, api_key_file }),
            Err(error) => self.error("bootstrap.account", &error.to_string()),
        }
    }

    /// The text of a value; `None` if it is missing or empty.
    fn text(&self, key: &'static str) -> Option<String> {
        self.layers.text(key).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn flag(&self, key: &'static str) -> bool {
        self.layers.text(key) == Some("true")
    }

    /// A number. Its range was checked when it was read.
    fn number(&self, key: &'static str) -> Option<u64> {
        self.layers.text(key)?.parse().ok()
    }

    fn parsed<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.layers.text(key).unwrap_or_default()) {
            Ok(value) => Some(value),
            Err(error) => self.error(key, &error),
        }
    }

    fn error<T>(&mut self, key: &'static str, what: &str) -> Option<T> {
        self.errors.push(format!("{key} ({}): {what}", self.layers.source(key).location()));
        None
    }
}

fn parse_base_path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let is_plain = |segment: &str| {
        !segment.is_empty()
            && !matches!(segment, "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let mut segments = path.split('/');
    if path.is_empty() || (segments.next() == Some("") && segments.all(is_plain)) {
        return Ok(path.to_owned());
    }
    Err("must be a path such as /pictoryapis, or / for none".to_owned())
}

#[cfg(test)]
mod tests;
