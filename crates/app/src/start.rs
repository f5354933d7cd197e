//! Starting the service: the keyring is compared with the database before anything is written.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use domain::id::AscendingIds;
use domain::secret::{KeyringCheck, KeyringKeyId};
use domain::service_secrets::ServiceSecrets;
use seal::Randomness;
use seal::keyring::Keyring;
use seal::service::ServiceKeys;
use store::{APPLICATION_SCHEMA, DatabaseUrl, Inspection, Migrations, OpenError, PostgresOptions, Store};
use thiserror::Error;
use tokio_util::task::TaskTracker;

use crate::api_key_uses::ApiKeyUses;
use crate::audit::PendingAccounts;
use crate::cache::SingleFlightCache;
use crate::context::Context;
use crate::health::{HealthChecks, HealthSetup};
use crate::job_readings::JobReadings;
use crate::keyring::{CurrentKeyring, CurrentServiceKeys, KeyringSource};
use crate::limits::failed_keys::FailedKeys;
use crate::limits::rates::Rates;
use crate::limits::share::Shares;
use crate::limits::streams::Streams;
use crate::limits::usage::Usage;
use crate::limits::waiting::Waiting;
use crate::readiness::Readiness;
use crate::uploads::{UploadSetup, Uploads};
use crate::webhooks::{Announcer, OperatorEndpoint, Presenter, WebhookSetup, Webhooks};
use crate::{App, Clock, IdentitySetup, LimitSettings, PublicUrl, SessionOptions, Verification, WeakKeys};

/// A warning is logged if the clock is behind the newest stored ID by more than this.
const CLOCK_SKEW_WARN_SECONDS: i64 = 60;

/// The parts and settings of the service.
#[derive(Debug)]
pub struct Setup {
    /// The operator's keyring.
    pub keyring: Keyring,
    /// Where it is read again while the service runs; `None` in a process that does not run for long.
    pub keyring_source: Option<Arc<dyn KeyringSource>>,
    /// The location of the database.
    pub database_url: DatabaseUrl,
    /// The capacity of the queue of writes.
    pub queue: usize,
    /// The options for PostgreSQL. SQLite ignores them.
    pub postgres: PostgresOptions,
    /// Whether pending migrations are applied.
    pub migrations: Migrations,
    /// Whether weak keys may be imported.
    pub weak_keys: WeakKeys,
    /// The configured limits of clients.
    pub limits: LimitSettings,
    /// Whether credentials are verified.
    pub verification: Verification,
    /// How long sessions of the dashboard last.
    pub sessions: SessionOptions,
    /// The identity provider, if there is one.
    pub identity: Option<IdentitySetup>,
    /// The clock.
    pub clock: Clock,
    /// The source of randomness.
    pub randomness: Randomness,
    /// Runs work that continues after its request. A shutdown must wait for it.
    pub tasks: TaskTracker,
    /// The origin at which browsers reach the service, if it is known.
    pub public_url: Option<PublicUrl>,
    /// The parts of health checks; `None` in a process that does not ask Vimeo about connections.
    pub health: Option<HealthSetup>,
    /// The parts of the upload worker; `None` in a process that does not execute uploads.
    pub uploads: Option<UploadSetup>,
    /// Renders the bodies of webhooks.
    pub presenter: Presenter,
    /// The operator's endpoint, if there is one.
    pub operator_endpoint: Option<OperatorEndpoint>,
    /// The parts of the webhook worker; `None` in a process that delivers no webhooks.
    pub webhooks: Option<WebhookSetup>,
}

/// Why the service cannot start. The messages are for the operator.
#[derive(Debug, Error)]
pub enum StartError {
    /// The database was sealed with keys that the keyring does not have.
    #[error(
        "the keyring is not the one that this database was sealed with. The database needs {}; the keyring's primary \
         key is {found}. Nothing was changed. Probably keyring.file (or keyring.value) points to the keyring of \
         another installation, or `init` was run again after the keyring was lost: put back the right keyring, or \
         restore it from its backup. Without it the stored credentials cannot be decrypted",
        describe_keys(missing)
    )]
    WrongKeyring {
        /// The missing keys.
        missing: Vec<KeyringKeyId>,
        /// The keyring's primary key.
        found: KeyringKeyId,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The keyring is the right one, but the service secret does not decrypt.
    #[error(
        "the service secret in the database cannot be decrypted: it was damaged. Restore the database from a backup"
    )]
    ServiceSecret,
    /// A read or write during the start failed.
    #[error("the database cannot be used: {0}")]
    Store(#[source] store::Error),
}

/// Checks that the keyring has every key that the database was sealed with.
pub(crate) fn compare(keyring: &Keyring, checks: &[KeyringCheck]) -> Result<(), StartError> {
    let missing: Vec<_> = keyring.missing(checks).into_iter().cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(StartError::WrongKeyring { missing, found: keyring.primary_id().clone() })
}

/// Names keyring keys in a message.
pub fn describe_keys<'a>(keys: impl IntoIterator<Item = &'a KeyringKeyId>) -> String {
    let names: Vec<_> = keys.into_iter().map(|key| format!("the key {key}")).collect();
    names.join(" and ")
}

/// Reads the state of a database without changing it; `None` if it does not exist yet.
pub async fn inspect(database_url: &DatabaseUrl) -> Result<Option<Inspection>, OpenError> {
    store::inspect(database_url).await
}

/// Checks, without creating or changing anything, that the service can open its database with this keyring. Returns the
/// service's keys; `None` if the database does not exist yet.
pub async fn check_database(
    database_url: &DatabaseUrl,
    keyring: &Keyring,
) -> Result<Option<ServiceKeys>, StartError> {
    store::check_place(database_url)?;
    let Some(found) = inspect(database_url).await? else {
        store::check_migratable(database_url).await?;
        return Ok(None);
    };
    compare(keyring, &found.keyring_checks)?;
    if found.schema < APPLICATION_SCHEMA {
        store::check_migratable(database_url).await?;
    } else {
        store::check_grants(database_url).await?;
        // A start takes the lock only if it has something to write.
        if found.service_secrets.is_none() {
            store::check_lock(database_url).await?;
        }
    }
    let secrets = found.service_secrets.as_ref();
    let keys = secrets.map(|secrets| keyring.open_service_secrets(secrets)).transpose();
    keys.map_err(|_| StartError::ServiceSecret)
}

/// Checks that a keyring is the one of a database, without changing anything. A database that does not exist yet needs none.
pub async fn check_keyring(database_url: &DatabaseUrl, keyring: &Keyring) -> Result<(), StartError> {
    let found = inspect(database_url).await?;
    compare(keyring, &found.map_or_else(Vec::new, |found| found.keyring_checks))
}

/// The service's keys. A new database gets its first service secret.
async fn open_service_keys(
    store: &dyn Store,
    keyring: &Keyring,
    randomness: &Randomness,
) -> Result<CurrentServiceKeys, StartError> {
    let proposed = keyring.new_service_secret(keyring.primary_id(), randomness);
    let proposed = proposed.map_err(|_| StartError::ServiceSecret)?;
    let first = store.find_or_insert_service_secret(&proposed).await.map_err(StartError::Store)?;
    let secrets = store.find_service_secrets().await.map_err(StartError::Store)?;
    let secrets = secrets.unwrap_or_else(|| ServiceSecrets::of(first));
    let keys = keyring.open_service_secrets(&secrets).map_err(|_| StartError::ServiceSecret)?;
    Ok(CurrentServiceKeys::new(secrets, keys))
}

impl App {
    /// Opens the database, if the keyring is the right one, and creates the service.
    pub async fn open(setup: Setup) -> Result<Self, StartError> {
        // Its future is large.
        Box::pin(Self::open_store(setup)).await
    }

    async fn open_store(setup: Setup) -> Result<Self, StartError> {
        let inspected = inspect(&setup.database_url).await?;
        let has_secret = inspected.as_ref().is_some_and(|found| found.service_secrets.is_some());
        let found = inspected.map_or_else(Vec::new, |found| found.keyring_checks);
        compare(&setup.keyring, &found)?;
        let store = store::open(store::Options {
            database_url: setup.database_url,
            queue: setup.queue,
            migrations: setup.migrations,
            now: setup.clock.now(),
            postgres: setup.postgres,
        })
        .await?;
        // A start takes the lock only if it has something to write, so that commands can read while another process writes.
        // A new primary key is not written here, unless nothing was sealed yet: `keyring rewrap` does, when every node has it.
        let check = setup.keyring.primary_check().map_err(|_| StartError::ServiceSecret)?;
        if !has_secret && !found.contains(&check) {
            let kept = store.insert_keyring_check(&check, &found).await.map_err(StartError::Store)?;
            // Another process may have inserted the check values of another keyring meanwhile.
            compare(&setup.keyring, &kept)?;
        }
        let service_keys = open_service_keys(&*store, &setup.keyring, &setup.randomness).await?;
        let last = store.find_last_connection_time().await.map_err(StartError::Store)?;
        let warn_after = setup.clock.now().plus_seconds(CLOCK_SKEW_WARN_SECONDS);
        if let Some(last) = last.filter(|last| *last > warn_after) {
            tracing::warn!(%last, "the clock is behind the newest stored ID; new IDs continue from that one");
        }
        let context = Context {
            store,
            keyring: CurrentKeyring::new(setup.keyring, setup.keyring_source),
            service_keys,
            clock: setup.clock,
            randomness: setup.randomness,
            ids: Mutex::new(last.map_or_else(AscendingIds::default, AscendingIds::after)),
            accounts: SingleFlightCache::new(),
            announcer: Announcer::new(setup.presenter, setup.operator_endpoint),
            pending: PendingAccounts::default(),
            health: setup.health.map(|health| Arc::new(HealthChecks::new(health))),
            rate_limits: Arc::default(),
            upload_wakeup: Arc::default(),
            tasks: setup.tasks,
        };
        let uploads = setup.uploads.map(|uploads| Arc::new(Uploads::new(uploads, &context)));
        Ok(Self {
            context: Arc::new(context),
            verification: setup.verification,
            public_url: setup.public_url,
            api_keys: SingleFlightCache::new(),
            api_key_uses: ApiKeyUses::default(),
            weak_keys: setup.weak_keys,
            limits: ArcSwap::from_pointee(setup.limits),
            rates: Rates::new(setup.limits.burst_seconds),
            shares: Shares::new(),
            failed_keys: FailedKeys::new(setup.limits.failed_keys_quota()),
            usage: Usage::default(),
            streams: Streams::default(),
            sessions: setup.sessions,
            identity: setup.identity,
            waiting: Waiting::default(),
            readiness: Readiness::default(),
            job_readings: JobReadings::default(),
            uploads,
            webhooks: setup.webhooks.map(|webhooks| Arc::new(Webhooks::new(webhooks))),
        })
    }
}
