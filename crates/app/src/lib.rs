//! The verbs: what the service does, whoever asks (HTTP, the command line).
//! The only room that combines the store, the seals and Vimeo. Knows no HTTP and no command line.
//! Invariant: nothing is stored that was not checked as the configuration says, and no secret is stored unsealed.

mod accounts;
mod api_keys;
mod audit;
mod clock;
mod connections;
mod error;
mod seals;
mod start;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::{AccountId, ApiKeyId, AscendingId, AscendingIds};
use seal::Randomness;
use seal::keyring::Keyring;
use seal::service::ServiceKeys;
use store::Store;

pub use accounts::AccountError;
pub use api_keys::{ApiKeyError, KeyOptions, NewApiKey};
pub use clock::Clock;
pub use error::Error;
pub use seals::{BrokenSeal, SealReport};
pub use start::{Setup, StartError, check_database_url, inspect, keys_in_words};
pub use store::{Inspection, Migrations, OpenError};
pub use vimeo::{Credential, Finding};

/// How credentials are checked before they are kept.
#[derive(Debug, Clone)]
pub enum Verification {
    /// With Vimeo; what cannot be checked is not kept.
    Required {
        /// The client that asks.
        client: vimeo::Client,
        /// What they must be good for.
        requirements: vimeo::Requirements,
    },
    /// Not at all: for those who cannot reach Vimeo.
    Off,
}

/// Whoever makes a request, already let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose request it is.
    pub account_id: AccountId,
    /// With which key.
    pub key_id: ApiKeyId,
    /// From where, if that is known.
    pub remote: Option<IpAddr>,
}

/// The service, with all that its verbs need.
pub struct App {
    store: Arc<dyn Store>,
    keyring: Keyring,
    service_keys: ServiceKeys,
    verification: Verification,
    clock: Clock,
    randomness: Randomness,
    ids: Mutex<AscendingIds>,
}

impl App {
    /// Whether the service can do its work: the database answers.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.store.ping().await?)
    }

    /// Resolves, with the cause, when the service must stop because the state of its database is unknown.
    pub async fn failed(&self) -> String {
        self.store.failed().await
    }

    /// Finishes what was accepted and lets go of the database.
    pub async fn close(&self) {
        self.store.close().await;
    }

    fn next_id(&self) -> AscendingId {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.make(self.clock.now(), self.randomness.bytes())
    }
}
