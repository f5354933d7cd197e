//! The verbs: what the service does, whoever asks (HTTP, the command line).
//! The only room that combines the store, the seals and Vimeo. Knows no HTTP and no command line.
//! Invariant: nothing is stored that was not checked as the configuration says, and no secret is stored unsealed.

mod accounts;
mod api_keys;
mod audit;
mod backups;
mod bootstrap;
mod clock;
mod connections;
mod context;
mod error;
mod idempotency;
mod moves;
mod readiness;
mod recent;
mod seals;
mod start;
mod uploads;
mod verification;
mod webhook_secrets;

use std::ops::Deref;
use std::sync::Arc;

use domain::account::Account;
use domain::api_key::HashedKey;
use domain::audit::Actor;
use domain::id::{AccountId, ApiKeyId};

use api_keys::KnownKey;
use context::Context;
use readiness::Readiness;
use recent::Recent;

pub use accounts::AccountError;
pub use api_keys::{ApiKeyError, Identity, KeyOptions, NewApiKey, WeakKeys};
pub use backups::{RestoreError, Restored, RestoredKeys, back_up, check_backup, restore_backup};
pub use bootstrap::{BootstrapError, BootstrapKey, BootstrapKeyError, check_bootstrap};
pub use clock::Clock;
pub use connections::{ConnectionPage, SameCredentials};
pub use egress::{
    AllowHttp, AllowedDestination, AllowedDestinationError, Egress, EgressOptions, EgressPolicy,
    EgressSetupError, EgressTimeouts, EgressUrl, MinimumRate, OwnAddresses, PortPolicy, SpoolOptions,
    UrlError,
};
pub use error::Error;
pub use idempotency::{Once, Outcome};
pub use moves::{abandon_command, abandon_move, find_copy, find_move, move_database};
pub use readiness::{Check, CheckResult};
pub use seals::{BrokenSeal, SealReport};
pub use start::{Setup, StartError, check_database, inspect, keys_in_words};
pub use store::JobFilter;
pub use store::{
    BackupError, BackupHeader, Coalesce, CopiedTable as MovedTable, DatabaseUrl,
    EngineMigrationError as MoveError, EngineMigrationOutcome as MoveOutcome,
    EngineMigrationProgress as MoveProgress, EngineMigrationState as MoveState, Inspection, Migrations,
    OpenError, PostgresOptions, PreparedStatements, SourceMark as SourceMove,
};
pub use uploads::{
    CREATE_TIMEOUT_MAX, ClientUpload, JobPage, Presenter, RequestedSource, UploadOptions, UploadRequest,
    UploadSetup, WebhookTarget,
};
pub use vimeo::{Credential, CredentialProblem};

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

/// Whoever asks for something, already let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// In whose name.
    pub account_id: AccountId,
    /// Who it is: the holder of a key, or the operator.
    pub actor: Actor,
}

impl Caller {
    /// The operator, who acts for an account by the command line.
    pub fn operator_for(account: &Account) -> Self {
        Self { account_id: account.id.clone(), actor: Actor::Operator }
    }

    /// With which key, if with one.
    pub fn key_id(&self) -> Option<&ApiKeyId> {
        match &self.actor {
            Actor::ApiKey { key_id, .. } => Some(key_id),
            Actor::Operator | Actor::Service => None,
        }
    }
}

/// The service. It shares its context with the upload worker, and derefs to it.
pub struct App {
    context: Arc<Context>,
    verification: Verification,
    api_keys: Recent<HashedKey, KnownKey>,
    weak_keys: WeakKeys,
    readiness: Readiness,
    /// `None` in a process that does no uploads.
    uploads: Option<Arc<uploads::Uploads>>,
}

impl Deref for App {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl App {
    /// Resolves, with the cause, when the service must stop because the state of its database is unknown.
    pub async fn failed(&self) -> String {
        self.store.failed().await
    }

    /// Finishes what was accepted and lets go of the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
