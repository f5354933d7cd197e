//! Opening the service: the keyring is compared with the database before anything is touched.

use std::sync::{Arc, Mutex};

use domain::id::AscendingIds;
use domain::secret::{KeyringCheck, KeyringKeyId};
use seal::Randomness;
use seal::keyring::Keyring;
use seal::service::ServiceKeys;
use store::{APPLICATION_SCHEMA, DatabaseUrl, Inspection, Migrations, OpenError, PostgresOptions};
use thiserror::Error;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::readiness::Readiness;
use crate::recent::Recent;
use crate::uploads::{UploadSetup, Uploads};
use crate::{App, Clock, Verification, WeakKeys};

/// So far behind the last stored identifier, the clock is worth a word.
const CLOCK_DOUBT_SECONDS: i64 = 60;

/// What the service is made of.
#[derive(Debug)]
pub struct Setup {
    /// The operator's keyring.
    pub keyring: Keyring,
    /// Where the database is.
    pub database_url: DatabaseUrl,
    /// How many writes may wait.
    pub queue: usize,
    /// How a PostgreSQL server is used, if there is one.
    pub postgres: PostgresOptions,
    /// What to do about new migrations.
    pub migrations: Migrations,
    /// What to do about imported keys that can be guessed.
    pub weak_keys: WeakKeys,
    /// How credentials are checked.
    pub verification: Verification,
    /// What time it is.
    pub clock: Clock,
    /// Where randomness comes from.
    pub randomness: Randomness,
    /// What goes on after its request is over runs here; whoever ends the service waits for it.
    pub tasks: TaskTracker,
    /// What uploads are done with; `None`: this process does none.
    pub uploads: Option<UploadSetup>,
}

/// Why the service cannot start. The sentences are for a tired operator.
#[derive(Debug, Error)]
pub enum StartError {
    /// The database was sealed with keys that the keyring does not hold.
    #[error(
        "the keyring is not the one that this database was sealed with. The database needs {}; the keyring's primary \
         key is {found}. Nothing was changed. Probably keyring.file (or keyring.value) points to the keyring of \
         another installation, or `init` was run again after the keyring was lost: put back the right keyring, from \
         its backup if need be. Without it the stored credentials cannot be opened, by anybody",
        keys_in_words(missing)
    )]
    WrongKeyring {
        /// The keys that are missing.
        missing: Vec<KeyringKeyId>,
        /// The key that the keyring does hold.
        found: KeyringKeyId,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database has the check values of the keyring and yet its service secret does not open.
    #[error(
        "the service secret in the database cannot be decrypted: it was damaged. Restore the database from a backup"
    )]
    ServiceSecret,
    /// The first words with the database failed.
    #[error("the database cannot be used: {0}")]
    Store(#[source] store::Error),
}

/// Whether the keyring holds every key that the database was sealed with.
fn compare(keyring: &Keyring, checks: &[KeyringCheck]) -> Result<(), StartError> {
    let missing: Vec<_> = keyring.missing(checks).into_iter().cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(StartError::WrongKeyring { missing, found: keyring.primary_id().clone() })
}

/// Keyring keys, for a sentence.
pub fn keys_in_words<'a>(keys: impl IntoIterator<Item = &'a KeyringKeyId>) -> String {
    let names: Vec<_> = keys.into_iter().map(|key| format!("the key {key}")).collect();
    names.join(" and ")
}

/// Looks at a database without changing it; `None` if there is none yet.
pub async fn inspect(database_url: &DatabaseUrl) -> Result<Option<Inspection>, OpenError> {
    store::inspect(database_url).await
}

/// Checks that the service could open its database with this keyring, without creating or changing anything; the service's
/// keys, if there are any yet.
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
    let check = keyring.primary_check().map_err(|_| StartError::ServiceSecret)?;
    if found.schema < APPLICATION_SCHEMA {
        store::check_migratable(database_url).await?;
    } else {
        store::check_grants(database_url).await?;
        // A start that has nothing to write takes no lock.
        if !found.keyring_checks.contains(&check) || found.service_secret.is_none() {
            store::check_lock(database_url).await?;
        }
    }
    let secret = found.service_secret.as_ref();
    let keys = secret.map(|secret| keyring.open_service_secret(secret)).transpose();
    keys.map_err(|_| StartError::ServiceSecret)
}

impl App {
    /// Opens the database, if the keyring fits it, and readies the service.
    pub async fn open(setup: Setup) -> Result<Self, StartError> {
        let found = inspect(&setup.database_url).await?.map_or_else(Vec::new, |found| found.keyring_checks);
        compare(&setup.keyring, &found)?;
        let store = store::open(store::Options {
            database_url: setup.database_url,
            queue: setup.queue,
            migrations: setup.migrations,
            now: setup.clock.now(),
            postgres: setup.postgres,
        })
        .await?;
        let check = setup.keyring.primary_check().map_err(|_| StartError::ServiceSecret)?;
        // A start that has nothing to write takes no lock: a command must be able to read beside whoever writes.
        if !found.contains(&check) {
            let kept = store.insert_keyring_check(&check, &found).await.map_err(StartError::Store)?;
            // Another process may have been first, with another keyring.
            compare(&setup.keyring, &kept)?;
        }
        let proposed =
            setup.keyring.new_service_secret(&setup.randomness).map_err(|_| StartError::ServiceSecret)?;
        let secret = store.find_or_insert_service_secret(&proposed).await.map_err(StartError::Store)?;
        let service_keys =
            setup.keyring.open_service_secret(&secret).map_err(|_| StartError::ServiceSecret)?;
        let last = store.find_last_connection_time().await.map_err(StartError::Store)?;
        if let Some(last) = last.filter(|last| *last > setup.clock.now().plus_seconds(CLOCK_DOUBT_SECONDS)) {
            tracing::warn!(%last, "the clock is behind the newest stored identifier; new identifiers continue from that one");
        }
        let context = Context {
            store,
            keyring: setup.keyring,
            service_keys,
            clock: setup.clock,
            randomness: setup.randomness,
            ids: Mutex::new(last.map_or_else(AscendingIds::default, AscendingIds::after)),
            accounts: Recent::new(),
            tasks: setup.tasks,
        };
        Ok(Self {
            context: Arc::new(context),
            verification: setup.verification,
            api_keys: Recent::new(),
            weak_keys: setup.weak_keys,
            readiness: Readiness::default(),
            uploads: setup.uploads.map(|uploads| Arc::new(Uploads::new(uploads))),
        })
    }
}
