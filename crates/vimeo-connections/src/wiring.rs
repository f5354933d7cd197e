//! Builds an [`App`] from the configuration: reads the keyring, creates the Vimeo client, opens the database.

use std::path::PathBuf;

use app::{
    AllowHttp, App, Clock, Egress, EgressOptions, EgressPolicy, EgressSetupError, EgressTimeouts,
    HealthSetup, IdentitySetup, Migrations, OperatorEndpoint, OwnAddresses, PublicUrl, Setup, UploadOptions,
    UploadSetup, UrlError, Verification, WebhookOptions, WebhookSetup,
};
use domain::secret::Secret;
use seal::Randomness;
use seal::keyring::Keyring;
use seal::service::ServiceKeys;
use seal::webhook::WebhookSecret;
use thiserror::Error;
use tokio_util::task::TaskTracker;
use vimeo::{ClientError, ClientOptions, Requirements};
use zeroize::Zeroizing;

use crate::config::{Config, VerificationMode, VimeoConfig};
use crate::keyring_source::{self, KeyringSourceError, WhenUnavailable};

/// Why the service could not be built. The messages are for operators.
#[derive(Debug, Error)]
pub(crate) enum WiringError {
    #[error(transparent)]
    Keyring(#[from] KeyringSourceError),
    #[error(
        "there is no keyring file at {}, and a backup can only be restored with the keyring that it was sealed with. \
         Nothing was changed. Restore the keyring from its own backup, or set keyring.file \
         (VIMEO_CONNECTIONS_KEYRING__FILE) to its path. Do not run `init`: a new keyring cannot decrypt what an old \
         one encrypted",
        .0.display()
    )]
    NoKeyringToRestoreWith(PathBuf),
    #[error("webhooks.operator_url: {0}")]
    OperatorUrl(#[source] UrlError),
    #[error("webhooks.operator_secret_file {} cannot be read: {source}", path.display())]
    OperatorSecretFile { path: PathBuf, source: std::io::Error },
    #[error(
        "webhooks.operator_secret_file {} has no secret: it must be whsec_ and the base64 of 24 to 64 bytes, as \
         `echo \"whsec_$(openssl rand -base64 32)\"` prints it",
        path.display()
    )]
    OperatorSecret { path: PathBuf },
    #[error("oidc.client_secret_file {} cannot be read: {source}", path.display())]
    OidcSecretFile { path: PathBuf, source: std::io::Error },
    #[error("oidc.client_secret_file {} is empty: it must have the secret of this client at the provider", path.display())]
    OidcSecret { path: PathBuf },
    #[error("oidc: {0}")]
    Oidc(#[from] oidc::SetupError),
    #[error(transparent)]
    Vimeo(#[from] ClientError),
    #[error(transparent)]
    Egress(#[from] EgressSetupError),
    #[error(transparent)]
    Start(#[from] app::StartError),
    #[error(transparent)]
    Open(#[from] app::OpenError),
}

/// The `User-Agent` header of requests.
pub(crate) const USER_AGENT: &str = concat!("vimeo-connections/", env!("CARGO_PKG_VERSION"));

/// Opens the service for `serve`, with verification as configured and with uploads. [`check`] has read the keyring.
pub(crate) async fn open_for_serving(
    config: &Config,
    keyring: Keyring,
    public_url: Option<PublicUrl>,
    tasks: TaskTracker,
) -> Result<App, WiringError> {
    let options = ServingOptions { public_url, migrations: Migrations::Apply };
    open_for_uploads(config, keyring, options, tasks).await
}

/// The same for the `upload` command, without migrations.
pub(crate) async fn open_for_uploading(config: &Config, tasks: TaskTracker) -> Result<App, WiringError> {
    let keyring = read_keyring(config).await?;
    let options = ServingOptions { public_url: None, migrations: Migrations::OnlyIfNew };
    open_for_uploads(config, keyring, options, tasks).await
}

/// What distinguishes `serve` from `upload`.
struct ServingOptions {
    public_url: Option<PublicUrl>,
    migrations: Migrations,
}

async fn open_for_uploads(
    config: &Config,
    keyring: Keyring,
    options: ServingOptions,
    tasks: TaskTracker,
) -> Result<App, WiringError> {
    let ServingOptions { public_url, migrations } = options;
    let client = client(config, tasks.clone())?;
    let egress = egress(config)?;
    let operator_endpoint = operator_endpoint(config, &egress)?;
    let webhooks = Some(WebhookSetup { egress: egress.clone(), options: webhook_options(config) });
    let uploads = Some(uploads(config, client.clone(), egress));
    let health = Some(health(config, client.clone()));
    let setup = setup(config, keyring, verification(&config.vimeo, client), tasks);
    let identity = identity(config)?;
    let setup =
        Setup { public_url, identity, migrations, uploads, health, webhooks, operator_endpoint, ..setup };
    Ok(Box::pin(App::open(setup)).await?)
}

/// Checks everything that [`open_for_serving`] needs, without creating or changing anything. Returns the keyring, and the
/// service's keys, if they exist.
pub(crate) async fn check(
    config: &Config,
    when: WhenUnavailable,
    tasks: TaskTracker,
) -> Result<(Keyring, Option<ServiceKeys>), WiringError> {
    client(config, tasks)?;
    operator_endpoint(config, &egress(config)?)?;
    identity(config)?;
    let keyring = keyring_source::read(config, when).await?;
    let keys = app::check_database(&config.database_url, &keyring).await?;
    Ok((keyring, keys))
}

/// Checks that the keyring is the one of the database, if that exists.
pub(crate) async fn check_keyring(config: &Config) -> Result<(), WiringError> {
    let keyring = read_keyring(config).await?;
    Ok(app::check_keyring(&config.database_url, &keyring).await?)
}

/// Opens the service for an administrative command, without verification and migrations.
pub(crate) async fn open_for_administration(config: &Config) -> Result<App, WiringError> {
    open(config, Migrations::OnlyIfNew, Verification::Off, TaskTracker::new()).await
}

/// The same for a command that takes credentials, which are verified as configured. Remaining work, such as revoking a
/// stray token, runs in `tasks`.
pub(crate) async fn open_for_credentials(config: &Config, tasks: TaskTracker) -> Result<App, WiringError> {
    let client = client(config, tasks.clone())?;
    let health = Some(health(config, client.clone()));
    // It receives what a check by command finds, too.
    let operator_endpoint = match &config.webhooks.operator {
        Some(_) => operator_endpoint(config, &egress(config)?)?,
        None => None,
    };
    let keyring = read_keyring(config).await?;
    let setup = setup(config, keyring, verification(&config.vimeo, client), tasks);
    Ok(App::open(Setup { health, operator_endpoint, ..setup }).await?)
}

/// Opens the service only to run migrations.
pub(crate) async fn open_for_migrating(config: &Config) -> Result<App, WiringError> {
    open(config, Migrations::Apply, Verification::Off, TaskTracker::new()).await
}

/// The setup for restoring a backup.
pub(crate) async fn setup_for_restoring(config: &Config) -> Result<Setup, WiringError> {
    let keyring = match read_keyring(config).await {
        Err(KeyringSourceError::NoKeyringYet(path)) => return Err(WiringError::NoKeyringToRestoreWith(path)),
        read => read?,
    };
    Ok(setup(config, keyring, Verification::Off, TaskTracker::new()))
}

/// The keyring, if it exists, for commands that can do without.
pub(crate) async fn find_keyring(config: &Config) -> Result<Option<Keyring>, WiringError> {
    match read_keyring(config).await {
        Err(KeyringSourceError::NoKeyringYet(_) | KeyringSourceError::KeyringLost { .. }) => Ok(None),
        read => Ok(Some(read?)),
    }
}

async fn open(
    config: &Config,
    migrations: Migrations,
    verification: Verification,
    tasks: TaskTracker,
) -> Result<App, WiringError> {
    let keyring = read_keyring(config).await?;
    Ok(App::open(Setup { migrations, ..setup(config, keyring, verification, tasks) }).await?)
}

fn setup(config: &Config, keyring: Keyring, verification: Verification, tasks: TaskTracker) -> Setup {
    Setup {
        keyring,
        keyring_source: keyring_source::reader(config),
        database_url: config.database_url.clone(),
        queue: config.queue,
        postgres: config.postgres.clone(),
        migrations: Migrations::OnlyIfNew,
        weak_keys: config.weak_keys,
        limits: config.limits,
        verification,
        sessions: config.dashboard.sessions,
        clock: Clock::system(),
        randomness: Randomness::system(),
        tasks,
        public_url: None,
        identity: None,
        health: None,
        uploads: None,
        presenter: web::PRESENTER,
        operator_endpoint: None,
        webhooks: None,
    }
}

/// The keyring, for a command, which does not wait for its holder.
async fn read_keyring(config: &Config) -> Result<Keyring, KeyringSourceError> {
    keyring_source::read(config, WhenUnavailable::Fail).await
}

/// The Vimeo client, for a command that sends bytes itself.
pub(crate) fn client(config: &Config, tasks: TaskTracker) -> Result<vimeo::Client, ClientError> {
    let clock = Clock::system();
    vimeo::Client::new(ClientOptions {
        base_url: config.vimeo.base_url.clone(),
        user_agent: USER_AGENT,
        proxy: config.vimeo.proxy.as_ref(),
        tls: config.tls_client.clone(),
        upload_hosts: config.vimeo.upload_hosts.clone(),
        clock: vimeo::Clock::new(move || clock.now()),
        tasks,
    })
}

fn verification(config: &VimeoConfig, client: vimeo::Client) -> Verification {
    let requirements = requirements(config);
    match config.verification {
        VerificationMode::Required => Verification::Required { client, requirements },
        VerificationMode::WhenReachable => Verification::WhenReachable { client, requirements },
        VerificationMode::Off => Verification::Off,
    }
}

fn requirements(config: &VimeoConfig) -> Requirements {
    Requirements { scopes: config.required_scopes.clone(), budget: config.budget }
}

fn health(config: &Config, client: vimeo::Client) -> HealthSetup {
    let mut options = config.health;
    if config.vimeo.verification == VerificationMode::Off {
        // Only on request.
        options.interval = None;
    }
    HealthSetup { client, requirements: requirements(&config.vimeo), options }
}

/// The client of addresses that users and the operator give.
fn egress(config: &Config) -> Result<Egress, EgressSetupError> {
    let uploads = &config.uploads;
    if config.tls_client.is_none() && uploads.insecure == AllowHttp::No {
        return Err(EgressSetupError::NoRoots);
    }
    let listen = config.listen.ip();
    let own = if listen.is_unspecified() { Vec::new() } else { vec![listen] };
    Egress::new(EgressOptions {
        policy: EgressPolicy {
            allow: uploads.allow.clone(),
            insecure: uploads.insecure,
            ports: uploads.ports.clone(),
            own: OwnAddresses::of_this_machine(own),
        },
        dns_servers: uploads.dns_servers.clone(),
        tls: config.tls_client.clone(),
        user_agent: USER_AGENT.to_owned(),
        timeouts: EgressTimeouts::default(),
        minimum_rate: uploads.minimum_rate,
    })
}

fn webhook_options(config: &Config) -> WebhookOptions {
    WebhookOptions {
        concurrency: config.uploads.webhook_concurrency,
        retry_delays: config.webhooks.retry_delays.clone(),
        disable_after: config.webhooks.disable_after,
    }
}

/// The operator's endpoint, whose URL must be allowed and whose secret must be in its file.
fn operator_endpoint(config: &Config, egress: &Egress) -> Result<Option<OperatorEndpoint>, WiringError> {
    let Some(operator) = &config.webhooks.operator else { return Ok(None) };
    egress.validate(operator.url.expose()).map_err(WiringError::OperatorUrl)?;
    let path = &operator.secret_file;
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| WiringError::OperatorSecretFile { path: path.clone(), source })?;
    let secret = WebhookSecret::parse(text.trim());
    let secret = secret.ok_or_else(|| WiringError::OperatorSecret { path: path.clone() })?;
    Ok(Some(OperatorEndpoint { url: operator.url.clone(), secret }))
}

/// The identity provider, whose secret must be in its file. It is not asked yet: signing in with a key works without it.
fn identity(config: &Config) -> Result<Option<IdentitySetup>, WiringError> {
    let Some(oidc) = &config.oidc else { return Ok(None) };
    let path = &oidc.client_secret_file;
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| WiringError::OidcSecretFile { path: path.clone(), source })?;
    if text.trim().is_empty() {
        return Err(WiringError::OidcSecret { path: path.clone() });
    }
    let provider = oidc::Provider::new(oidc::ProviderOptions {
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        client_secret: Secret::new(text.trim().to_owned()),
        scopes: oidc.scopes.clone(),
        claims: oidc.rules.claims(),
        tls: config.tls_client.clone(),
        user_agent: USER_AGENT,
    })?;
    Ok(Some(IdentitySetup { name: oidc.name.clone(), provider, rules: oidc.rules.clone() }))
}

fn uploads(config: &Config, client: vimeo::Client, egress: Egress) -> UploadSetup {
    let uploads = &config.uploads;
    let options = UploadOptions {
        concurrency: uploads.concurrency,
        per_account: uploads.per_account,
        per_connection: uploads.per_connection,
        chunk_bytes: uploads.chunk_bytes,
        source_max_bytes: uploads.source_max_bytes,
        source_attempts: uploads.source_attempts,
        spool: uploads.spool.clone(),
        create_timeout: uploads.create_timeout,
        probe_delay: uploads.look_grace,
        probe_span: uploads.look_span,
        retry_deadline: uploads.retry_deadline,
        confirm: uploads.confirm,
        client_deadline: uploads.client_deadline,
    };
    UploadSetup { client, egress, options }
}
