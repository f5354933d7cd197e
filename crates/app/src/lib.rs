//! The operations of the service, called by the HTTP adapter and the command line, and the upload worker.
//! The only crate that combines `store`, `seal`, `vimeo`, `egress` and `oidc`. Knows no HTTP and no command line.
//! Invariant: credentials are verified as configured before they are stored, and no secret is stored unsealed.

mod accounts;
mod api_key_changes;
mod api_key_rules;
mod api_key_uses;
mod api_keys;
mod audit;
mod authorizations;
mod backups;
mod bootstrap;
mod cache;
mod clock;
mod connection_lists;
mod connections;
mod context;
mod engine_migration;
mod error;
mod exports;
mod health;
mod idempotency;
mod integrity;
mod job_readings;
mod keyring;
mod limits;
mod public_url;
mod rate_limits;
mod readiness;
mod retention;
mod sessions;
mod start;
mod uploads;
mod verification;
mod webhook_secrets;
mod webhooks;

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;
use domain::account::Account;
use domain::api_key::HashedKey;
use domain::audit::Actor;
use domain::id::{AccountId, ApiKeyId};
use domain::limits::AccountLimits;
use domain::scope::Scopes;
use domain::time::Timestamp;

use api_key_uses::ApiKeyUses;
use api_keys::VerifiedKey;
use cache::SingleFlightCache;
use context::Context;
use job_readings::JobReadings;
use limits::failed_keys::FailedKeys;
use limits::rates::Rates;
use limits::share::{AccountShare, Shares};
use limits::streams::Streams;
use limits::usage::Usage;
use limits::waiting::Waiting;
use readiness::Readiness;

pub use accounts::AccountError;
pub use api_key_changes::{ImportError, KeyOptions, NewApiKey, RotateOptions, WeakKeys};
pub use api_keys::{ApiKeyPage, Authentication, Identity};
pub use audit::{AuditEventPage, AuditOptions, Finding, FindingKind, SignedHead, VerifiedChain};
pub use authorizations::{
    AuthorizationDraft, AuthorizationOutcome, AuthorizationPage, AuthorizationRequest, AuthorizationTarget,
    CALLBACK_PATH, CONNECT_PATH, Callback, CallbackAnswer, CallbackResult, ConnectStage, ConnectView,
    CreatedAuthorization, DevicePrompt, DraftFlow, DraftTarget, RETURN_URL_MAX_CHARS, ReturnResult,
    ReturnUrl, ReturnUrlError, ShownAuthorization, StartResult, VimeoAccount,
};
pub use backups::{RestoreError, Restored, RestoredKeys, back_up, check_backup, restore_backup};
pub use bootstrap::{BootstrapError, BootstrapKey, BootstrapKeyError, check_bootstrap};
pub use clock::Clock;
pub use connection_lists::{
    ConnectionCount, ConnectionFilter, ListedConnection, ListedConnections, SearchText,
};
pub use connections::{ConnectionPage, SameCredentials};
pub use egress::{
    AllowHttp, AllowedDestination, AllowedDestinationError, Egress, EgressOptions, EgressPolicy,
    EgressSetupError, EgressTimeouts, EgressUrl, MinimumRate, OwnAddresses, PortPolicy, RequestHeaders,
    SpoolOptions, UrlError,
};
pub use engine_migration::migrate_engine;
pub use error::Error;
pub use health::{ConnectionReport, HealthOptions, HealthSetup};
pub use idempotency::{IdempotentRequest, Outcome};
pub use integrity::{IntegrityFailure, IntegrityReport};
pub use job_readings::Counts;
pub use keyring::{
    AccountKeyReport, AccountKeyState, InDatabase, InKeyring, KeyringKeyStatus, KeyringReadError,
    KeyringSource, Pace, Repeat, RetireError, RewrapError, RewrapReport, SecretState, ServiceSecretReport,
    ServiceSecretStatus,
};
pub use limits::LimitSettings;
pub use limits::operations::ShownLimits;
pub use limits::rates::{CallerRates, RatePolicy, RateReport, RateState};
pub use limits::share::WriteInProgress;
pub use limits::streams::StreamPermit;
pub use oidc::{Answer as ProviderAnswer, Error as ProviderError, Login, Refusal};
pub use public_url::{ListenerScheme, PublicUrl, PublicUrlError};
pub use readiness::{Check, CheckResult, WriterAnswer};
pub use retention::RetentionOptions;
pub use sessions::{
    AttemptPurpose, Browser, FailedAttempt, IdentityError, IdentitySetup, IdentityStart, LinkOptions,
    ReturnedBrowser, SessionError, SessionOptions, ShownLink, SignInLink, SignedIn, StartedSession,
};
pub use start::{Setup, StartError, check_database, check_keyring, describe_keys, inspect};
pub use store::{
    AuditPage, BackupError, BackupHeader, Coalesce, CopiedTable, DatabaseUrl, DeliveryFilter,
    EngineMigrationError, EngineMigrationOutcome, EngineMigrationProgress, EngineMigrationState,
    IdempotencyRecord, IdempotencyRecordId, Inspection, JobFilter, Migrations, OpenError, PostgresOptions,
    PreparedStatements, SourceMark, StatusCounts, WebhookSecretDates, find_source_mark, find_target_state,
    roll_back_engine_migration, rollback_command,
};
pub use uploads::{
    CREATE_TIMEOUT_MAX, ClientUpload, FileRun, JobPage, LocalFile, LocalFileFailed, RequestedSource,
    UploadCounts, UploadOptions, UploadRequest, UploadSetup, WebhookTarget,
};
pub use vimeo::{Credential, CredentialProblem, SCOPES as VIMEO_SCOPES};
pub use webhooks::{
    CreatedEndpoint, DEFAULT_RETRY_DELAYS, DeliveryPage, EndpointChange, EndpointDescription,
    EndpointDescriptionError, EndpointDraft, EndpointPage, EventData, OperatorEndpoint, PresentedEvent,
    Presenter, ShownEndpoint, WEBHOOK_SECRET_OVERLAP, WebhookOptions, WebhookSetup,
};

/// Whether credentials are verified before they are stored: `vimeo.verification`.
#[derive(Debug, Clone)]
pub enum Verification {
    /// Vimeo verifies them. If it cannot be asked, nothing is stored.
    Required {
        /// The client of Vimeo's API.
        client: vimeo::Client,
        /// The required scopes.
        requirements: vimeo::Requirements,
    },
    /// The same, but if Vimeo cannot be asked, they are stored unverified and checked again as soon as it answers.
    WhenReachable {
        /// The client of Vimeo's API.
        client: vimeo::Client,
        /// The required scopes.
        requirements: vimeo::Requirements,
    },
    /// They are stored unverified, for installations that cannot reach Vimeo.
    Off,
}

/// An authenticated caller of an operation.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account that it acts for.
    pub account_id: AccountId,
    /// Its API key, the person, or the operator.
    pub actor: Actor,
    /// What it may do.
    pub scopes: Scopes,
    /// Until when; `None`: without limit.
    pub expires_at: Option<Timestamp>,
    /// The limits of its account.
    pub limits: AccountLimits,
    /// What its account has in progress on this node.
    pub(crate) share: Arc<AccountShare>,
}

impl Caller {
    /// The operator, acting for an account on the command line, without limits.
    pub fn operator_for(account: &Account) -> Self {
        Self::operator(account.id.clone())
    }

    pub(crate) fn operator(account_id: AccountId) -> Self {
        Self {
            account_id,
            actor: Actor::Operator,
            scopes: Scopes::ALL,
            expires_at: None,
            limits: AccountLimits::NONE,
            share: Arc::default(),
        }
    }

    /// The ID of the caller's API key, if it has one.
    pub fn key_id(&self) -> Option<&ApiKeyId> {
        self.actor.key_id()
    }
}

/// The service. It shares its context with the upload worker, and derefs to it.
pub struct App {
    context: Arc<Context>,
    verification: Verification,
    public_url: Option<PublicUrl>,
    api_keys: SingleFlightCache<HashedKey, VerifiedKey>,
    api_key_uses: ApiKeyUses,
    weak_keys: WeakKeys,
    limits: ArcSwap<LimitSettings>,
    rates: Rates,
    shares: Shares,
    failed_keys: FailedKeys,
    usage: Usage,
    streams: Streams,
    sessions: SessionOptions,
    /// `None`: people do not sign in at an identity provider.
    identity: Option<IdentitySetup>,
    waiting: Waiting,
    readiness: Readiness,
    job_readings: JobReadings,
    /// `None` in a process that does not execute uploads.
    uploads: Option<Arc<uploads::Uploads>>,
    /// `None` in a process that delivers no webhooks.
    webhooks: Option<Arc<webhooks::Webhooks>>,
}

impl Deref for App {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl App {
    /// The origin at which browsers reach the service, if it is known.
    pub fn public_url(&self) -> Option<&PublicUrl> {
        self.public_url.as_ref()
    }

    /// Waits until the service must stop, because the state of its database is unknown; returns the cause.
    pub async fn failed(&self) -> String {
        self.store.failed().await
    }

    /// Finishes accepted writes and closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
