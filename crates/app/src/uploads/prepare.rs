//! Before the first step: the row is verified, and what it keeps sealed is decrypted.

use std::sync::Arc;

use domain::connection::Availability;
use domain::job::{Job, JobState};
use domain::secret::Sealed;
use seal::envelope::{AccountKey, AssociatedData, Purpose};
use vimeo::UploadLink;

use super::request::{REQUEST_FORMAT_MAX, UploadRequest};
use super::setup::{ConnectionShared, Uploads};
use crate::Error;
use crate::connections::open_credentials;
use crate::context::Context;

/// The version of a sealed request whose job has a MAC. The request of version 1 belongs to a job that an earlier version of
/// the service wrote, whose row may have none.
const AUTHENTICATED: u64 = 2;
const WITHOUT_MAC: u64 = 1;
/// The versions at which requests of jobs are sealed.
pub(crate) const REQUEST_VERSIONS: [u64; 2] = [AUTHENTICATED, WITHOUT_MAC];

/// A decrypted job.
pub(super) struct Prepared {
    pub(super) request: UploadRequest,
    pub(super) session: vimeo::Session,
    pub(super) shared: Arc<ConnectionShared>,
    /// The version of the connection's credentials: another one means other credentials.
    pub(super) sealed_version: u64,
}

/// Why a job cannot run.
#[derive(Debug)]
pub(super) enum PrepareError {
    /// The row is not as this service wrote it.
    Tampered,
    /// A later version of the service wrote it, and this one would ignore a part of the request.
    NewerFormat,
    /// The connection is disabled.
    ConnectionDisabled,
    /// The connection is unhealthy, and the job has not started.
    ConnectionUnhealthy,
    /// The connection was deleted.
    ConnectionDeleted,
    /// What is sealed for the job, or for its connection, does not decrypt under the account's key.
    Undecryptable,
    /// Something that passes, or that an operator fixes: the database, the keyring.
    Temporary(Error),
}

impl From<Error> for PrepareError {
    fn from(error: Error) -> Self {
        Self::Temporary(error)
    }
}

impl From<store::Error> for PrepareError {
    fn from(error: store::Error) -> Self {
        Self::Temporary(error.into())
    }
}

impl From<seal::CryptoError> for PrepareError {
    fn from(_: seal::CryptoError) -> Self {
        Self::Undecryptable
    }
}

/// How the request of a job is sealed.
pub(super) fn request_sealed_as(job: &Job) -> AssociatedData<'_> {
    AssociatedData { purpose: Purpose::JobRequest, record: job.id.as_str(), version: AUTHENTICATED }
}

/// Verifies a job's row and decrypts its request. Without a MAC, only the request of an earlier version is accepted: a MAC
/// that was removed does not turn the one into the other. `None`: the request was wiped.
pub(super) async fn verify(
    context: &Context,
    job: &Job,
    row_mac: Option<&[u8]>,
    sealed: Option<&Sealed>,
) -> Result<Option<UploadRequest>, PrepareError> {
    if let Some(mac) = row_mac
        && !context.verify_job(job, mac).await?
    {
        return Err(PrepareError::Tampered);
    }
    if job.request_format > REQUEST_FORMAT_MAX {
        return Err(PrepareError::NewerFormat);
    }
    let Some(sealed) = sealed else {
        return if row_mac.is_some() { Ok(None) } else { Err(PrepareError::Tampered) };
    };
    let key = context.account_key(&job.account_id).await?;
    let open = |version| key.open(AssociatedData { version, ..request_sealed_as(job) }, sealed);
    let opened = match row_mac {
        Some(_) => open(AUTHENTICATED).or_else(|_| open(WITHOUT_MAC)),
        None => open(WITHOUT_MAC),
    };
    match opened {
        Ok(bytes) => {
            let request = UploadRequest::from_bytes(&bytes).ok_or(PrepareError::Undecryptable)?;
            Ok(Some(UploadRequest { replaces: job.replaces, publish_at: job.publish_at, ..request }))
        }
        Err(_) if row_mac.is_none() => Err(PrepareError::Tampered),
        Err(_) => Err(PrepareError::Undecryptable),
    }
}

/// Refuses a job that has not started while its connection is unhealthy. One that has may need no credentials for a while.
pub(super) async fn require_healthy(context: &Context, job: &Job) -> Result<(), PrepareError> {
    let has_started = !matches!(job.state, JobState::Queued(_));
    if has_started || !context.is_unhealthy(&job.account_id, &job.connection_id).await? {
        return Ok(());
    }
    let connection = context.store.find_connection(&job.account_id, &job.connection_id).await?;
    match connection {
        Some(connection) if !context.is_unhealthy_now(&connection).await? => Ok(()),
        Some(_) => Err(PrepareError::ConnectionUnhealthy),
        None => Err(PrepareError::ConnectionDeleted),
    }
}

/// Decrypts the credentials of the job's connection.
pub(super) async fn prepare(
    context: &Context,
    uploads: &Uploads,
    job: &Job,
    request: Option<UploadRequest>,
) -> Result<Prepared, PrepareError> {
    let found = context.store.find_sealed_connection(&job.account_id, &job.connection_id).await?;
    let (connection, credentials) = found.ok_or(PrepareError::ConnectionDeleted)?;
    let request = request.ok_or(PrepareError::Undecryptable)?;
    if connection.availability == Availability::Disabled {
        return Err(PrepareError::ConnectionDisabled);
    }
    let key = context.account_key(&job.account_id).await?;
    let sealed_version = connection.sealed_version;
    let secrets = open_credentials(&key, &connection, &credentials)?;
    let shared = uploads.shared(&connection.id);
    let session = uploads.client.session(secrets.access_token, shared.rate_limit.clone());
    Ok(Prepared { request, session, shared, sealed_version })
}

/// The upload link, if it decrypts and may still be used.
pub(super) fn open_link(
    key: &AccountKey,
    uploads: &Uploads,
    job: &Job,
    restarts: u32,
    sealed: &Sealed,
) -> Option<UploadLink> {
    let opened = key.open(link_sealed_as(job, restarts), sealed).ok()?;
    UploadLink::parse(std::str::from_utf8(&opened).ok()?, uploads.client.link_rules()).ok()
}

/// How the upload link of a job is sealed.
pub(super) fn link_sealed_as(job: &Job, restarts: u32) -> AssociatedData<'_> {
    AssociatedData { purpose: Purpose::JobLink, record: job.id.as_str(), version: u64::from(restarts) }
}
