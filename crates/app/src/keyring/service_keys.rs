//! The service's keys in use, which change while the service runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::service_secrets::ServiceSecrets;
use seal::keyring::Keyring;
use seal::service::ServiceKeys;
use tokio::time::MissedTickBehavior;

use crate::cache::SingleFlightCache;
use crate::context::Context;
use crate::{App, Error};

/// How often a service reads the secrets again without a request that needs them: so that a node on which only one upload runs
/// does not sign with a secret that was retired meanwhile.
const READ_INTERVAL: Duration = Duration::from_secs(5);

/// The secrets, and the keys that were derived from them.
struct Opened {
    secrets: ServiceSecrets,
    keys: Arc<ServiceKeys>,
}

/// The service's keys in use. They are read again as often as an account: before anything is signed with the next secret, every
/// node has read it.
pub(crate) struct CurrentServiceKeys {
    opened: ArcSwap<Opened>,
    read: SingleFlightCache<(), Arc<ServiceKeys>>,
}

impl CurrentServiceKeys {
    pub(crate) fn new(secrets: ServiceSecrets, keys: ServiceKeys) -> Self {
        let opened = ArcSwap::from_pointee(Opened { secrets, keys: Arc::new(keys) });
        Self { opened, read: SingleFlightCache::new() }
    }
}

impl fmt::Debug for CurrentServiceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentServiceKeys")
    }
}

fn has_keys_of(keyring: &Keyring, secrets: &ServiceSecrets) -> bool {
    secrets.keyring_keys().all(|key| keyring.contains(key))
}

impl Context {
    /// The service's keys as they were read last: good for signing, and for verifying what this process was given just now.
    pub(crate) fn service_keys(&self) -> Arc<ServiceKeys> {
        self.service_keys.opened.load().keys.clone()
    }

    /// The service's keys, read again unless that was done just now. What another node has written is verified with these.
    pub(crate) async fn fresh_service_keys(&self) -> Result<Arc<ServiceKeys>, Error> {
        let read = self.service_keys.read.find(&(), async || self.read_service_keys().await.map(Some));
        let found = read.await?;
        Ok(found.map_or_else(|| self.service_keys(), |cached| cached.value))
    }

    async fn read_service_keys(&self) -> Result<Arc<ServiceKeys>, Error> {
        let opened = self.service_keys.opened.load_full();
        let secrets = self.store.find_service_secrets().await?;
        let Some(secrets) = secrets.filter(|secrets| !opened.secrets.is_same(secrets)) else {
            return Ok(opened.keys.clone());
        };
        if !has_keys_of(&self.keyring.get(), &secrets) {
            self.reread_keyring().await;
        }
        let keyring = self.keyring.get();
        if !has_keys_of(&keyring, &secrets) {
            return Err(Error::KeyringLacksKey);
        }
        let keys = Arc::new(keyring.open_service_secrets(&secrets)?);
        tracing::info!(number = secrets.current.number, "the service secrets were read again");
        self.service_keys.opened.store(Arc::new(Opened { secrets, keys: keys.clone() }));
        Ok(keys)
    }
}

impl App {
    /// Keeps the service's keys up to date. Runs until it is dropped.
    pub async fn watch_service_keys(self: Arc<Self>) {
        let mut interval = tokio::time::interval(READ_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if let Err(error) = self.fresh_service_keys().await {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::debug!(error, "the service secrets could not be read; they are read again soon");
            }
        }
    }
}
