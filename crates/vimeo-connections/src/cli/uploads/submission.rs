//! Requests an upload of a remote service under an idempotency key.

use domain::idempotency::IdempotencyKey;
use domain::job::JobId;
use reqwest::Method;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cli::connections::COLLECTION;
use crate::client::{ApiClient, Call, ClientError};

/// An upload that the service has accepted.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    pub(super) id: JobId,
    /// Where the bytes of a file go, if this command sends them there itself.
    pub(super) link: Option<Zeroizing<String>>,
}

/// The result of a request with one key.
#[derive(Debug, Clone)]
pub(super) enum Submission {
    /// Accepted now.
    Fresh(Accepted),
    /// Accepted in an earlier run.
    Known(Accepted),
    /// The upload of an earlier run has ended, and its link is no longer valid.
    Ended(Option<JobId>),
    /// The key was used for a different request.
    Reused,
}

#[derive(Deserialize)]
struct AcceptedIn {
    data: AcceptedJobIn,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AcceptedJobIn {
    job_id: String,
    upload_link: Option<Zeroizing<String>>,
}

/// The body of `409 UPLOAD_OVER`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UploadOverIn {
    job_id: Option<String>,
}

/// Requests an upload, or finds the one that was requested with this key; `None`: the response has no valid job ID.
pub(super) async fn submit(
    client: &ApiClient,
    connection: &str,
    body: Zeroizing<Vec<u8>>,
    key: &IdempotencyKey,
) -> Result<Option<Submission>, ClientError> {
    let path = [&COLLECTION[..], &[connection, "uploads"]].concat();
    let call = Call::new(Method::POST, &path).body(body).idempotency_key(key.as_str());
    let error = match client.send(call).await {
        Ok(answer) => {
            let is_replayed = answer.header("idempotent-replayed") == Some("true");
            let AcceptedIn { data } = answer.json()?;
            let accepted = JobId::parse(&data.job_id).map(|id| Accepted { id, link: data.upload_link });
            return Ok(accepted.map(if is_replayed { Submission::Known } else { Submission::Fresh }));
        }
        Err(error) => error,
    };
    match (error.code(), &error) {
        (Some("UPLOAD_OVER"), ClientError::Refused(refusal)) => {
            let over: Option<UploadOverIn> = serde_json::from_str(&refusal.body).ok();
            let id = over.and_then(|over| over.job_id).and_then(|id| JobId::parse(&id));
            Ok(Some(Submission::Ended(id)))
        }
        (Some("IDEMPOTENCY_KEY_REUSED"), _) => Ok(Some(Submission::Reused)),
        _ => Err(error),
    }
}
