//! Responses that can be stored, so that a repeated request gets the same response byte for byte.

use app::{ClientUpload, CreatedAuthorization, CreatedEndpoint, Outcome};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::connection::Connection;
use domain::idempotency::StoredResponse;
use domain::job::JobId;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Problem};
use crate::fields::{IGNORED_FIELDS, IgnoredFields};
use crate::headers::IDEMPOTENT_REPLAYED;
use crate::v1::authorization::CreatedAuthorizationOut;
use crate::v1::connection::CreatedOut;
use crate::v1::upload::{AcceptedUploadOut, UploadLinkOut};
use crate::v1::webhook_endpoint::CreatedEndpointOut;

/// Status, location and body of a response. The store keeps its JSON form: earlier and later versions must be able to
/// read it, so unknown fields are accepted. No `Debug`: the body may contain an upload link, which is a secret.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplayableResponse {
    /// Omitted for 201, the only status of earlier versions.
    #[serde(default = "created", skip_serializing_if = "is_created")]
    status: u16,
    location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_fields: Option<String>,
    body: String,
}

fn created() -> u16 {
    StatusCode::CREATED.as_u16()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_created(status: &u16) -> bool {
    *status == created()
}

impl ReplayableResponse {
    /// The response to the creation of a connection.
    pub(crate) fn created(base_path: &str, connection: &Connection, ignored: &IgnoredFields) -> Self {
        let location = format!("{base_path}/v1/vimeo-connections/{}", connection.id);
        Self::new(StatusCode::CREATED, location, &CreatedOut::from(connection), ignored.header_text())
    }

    /// The response to the creation of an upload.
    pub(crate) fn upload_accepted(base_path: &str, job: &JobId) -> Self {
        let location = format!("{base_path}/v1/jobs/{job}");
        Self::new(StatusCode::ACCEPTED, location, &AcceptedUploadOut::from(job), None)
    }

    /// The response to the creation of a client upload, with the link that is returned only once.
    pub(crate) fn upload_link(base_path: &str, upload: &ClientUpload) -> Self {
        let location = format!("{base_path}/v1/jobs/{}", upload.job_id);
        Self::new(StatusCode::CREATED, location, &UploadLinkOut::from(upload), None)
    }

    /// The response to the creation of a webhook endpoint, with the secret that is returned only once.
    pub(crate) fn endpoint_created(base_path: &str, created: &CreatedEndpoint) -> Self {
        let location = format!("{base_path}/v1/webhook-endpoints/{}", created.shown.endpoint.id);
        Self::new(StatusCode::CREATED, location, &CreatedEndpointOut::from(created), None)
    }

    /// The response to the creation of an authorization, with the page that is returned only once.
    pub(crate) fn authorization_created(base_path: &str, created: &CreatedAuthorization) -> Self {
        let id = &created.shown.authorization.id;
        let location = format!("{base_path}/v1/vimeo-connections/authorizations/{id}");
        Self::new(StatusCode::CREATED, location, &CreatedAuthorizationOut::from(created), None)
    }

    fn new(
        status: StatusCode,
        location: String,
        body: &impl Serialize,
        ignored_fields: Option<String>,
    ) -> Self {
        Self {
            status: status.as_u16(),
            location,
            ignored_fields,
            // Serialising strings, numbers and booleans does not fail.
            body: serde_json::to_string(body).unwrap_or_default(),
        }
    }

    /// The body.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The job in the location of an upload.
    pub(crate) fn job_id(&self) -> Result<JobId, Problem> {
        let id = self.location.rsplit('/').next().and_then(JobId::parse);
        id.ok_or_else(|| {
            tracing::error!("a stored response names no job");
            Code::InternalError.into()
        })
    }

    pub(crate) fn encode(&self) -> StoredResponse {
        StoredResponse(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn decode(stored: &StoredResponse) -> Result<Self, Problem> {
        serde_json::from_slice(&stored.0).map_err(|error| {
            tracing::error!(%error, "a stored response cannot be read");
            Code::InternalError.into()
        })
    }

    /// The response, marked as replayed.
    pub(crate) fn into_replayed_response(self) -> Response {
        let mut response = self.into_response();
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

/// The response to an operation: fresh, as `present` builds it, or replayed.
pub(crate) fn fresh_or_replayed<T>(
    outcome: Outcome<T>,
    present: impl Fn(&T) -> ReplayableResponse,
) -> Result<Response, Problem> {
    match outcome {
        Outcome::Fresh(created) => Ok(present(&created).into_response()),
        Outcome::Replayed(stored) => Ok(ReplayableResponse::decode(&stored)?.into_replayed_response()),
    }
}

/// A JSON response of about this size. Growing the buffer would copy it several times.
pub(crate) fn json_with_capacity(bytes: usize, value: &impl Serialize) -> Response {
    let mut body = Vec::with_capacity(bytes);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "a response cannot be serialised");
            Problem::from(Code::InternalError).into_response()
        }
    }
}

impl IntoResponse for ReplayableResponse {
    fn into_response(self) -> Response {
        // Only valid statuses are stored.
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::CREATED);
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // A path from this service is always a valid header value.
        if let Ok(location) = HeaderValue::from_str(&self.location) {
            headers.insert(LOCATION, location);
        }
        if let Some(Ok(ignored)) = self.ignored_fields.as_deref().map(HeaderValue::from_str) {
            headers.insert(IGNORED_FIELDS, ignored);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_stored_without_a_status_is_a_creation() {
        let old = r#"{"location":"/a","body":"{}"}"#;
        let answer = ReplayableResponse::decode(&StoredResponse(old.as_bytes().to_vec())).unwrap();
        assert_eq!(answer.encode().0, old.as_bytes(), "earlier versions read it as they wrote it");
        let response = answer.into_replayed_response();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["idempotent-replayed"], "true");
    }

    #[test]
    fn an_accepted_upload_is_stored_with_its_status() {
        let job = JobId::from_stored("0192f0c1-0000-7000-8000-000000000000".to_owned());
        let answer = ReplayableResponse::upload_accepted("/base", &job);
        let again = ReplayableResponse::decode(&answer.encode()).unwrap();
        assert!(again == answer);
        let response = again.into_response();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()["location"], format!("/base/v1/jobs/{job}").as_str());
        let body = format!("{{\"success\":true,\"data\":{{\"jobId\":\"{job}\"}}}}");
        assert_eq!(answer.body, body);
    }
}
