//! An answer that can be kept, so that a repeated request is answered byte for byte as the first was.

use app::{ClientUpload, Outcome};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::connection::Connection;
use domain::idempotency::KeptAnswer;
use domain::job::JobId;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Problem};
use crate::fields::{IGNORED_FIELDS, IgnoredFields};
use crate::headers::IDEMPOTENT_REPLAYED;
use crate::v1::connection::CreatedOut;
use crate::v1::upload::{AcceptedUploadOut, UploadLinkOut};

/// A status with a place and a body. Its form as JSON is what the store keeps: later versions must read it, and earlier
/// ones beside them, which is why a field more is no error. The body of an upload link is a secret: no `Debug`.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    /// Left out of what is kept for a 201, which is what an answer was that was kept before there were others.
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

impl Answer {
    /// The answer to the creation of a connection.
    pub(crate) fn created(base_path: &str, connection: &Connection, ignored: &IgnoredFields) -> Self {
        let location = format!("{base_path}/v1/vimeo-connections/{}", connection.id);
        Self::new(StatusCode::CREATED, location, &CreatedOut::from(connection), ignored.in_words())
    }

    /// The answer to the wish for an upload.
    pub(crate) fn upload_accepted(base_path: &str, job: &JobId) -> Self {
        let location = format!("{base_path}/v1/jobs/{job}");
        Self::new(StatusCode::ACCEPTED, location, &AcceptedUploadOut::from(job), None)
    }

    /// The answer to the wish for an upload link, which is shown this once.
    pub(crate) fn upload_link(base_path: &str, upload: &ClientUpload) -> Self {
        let location = format!("{base_path}/v1/jobs/{}", upload.job_id);
        Self::new(StatusCode::CREATED, location, &UploadLinkOut::from(upload), None)
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
            // Texts, numbers and flags: they always are JSON.
            body: serde_json::to_string(body).unwrap_or_default(),
        }
    }

    pub(crate) fn to_kept(&self) -> KeptAnswer {
        KeptAnswer(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn from_kept(kept: &KeptAnswer) -> Result<Self, Problem> {
        serde_json::from_slice(&kept.0).map_err(|error| {
            tracing::error!(%error, "a stored response cannot be read");
            Code::InternalError.into()
        })
    }

    /// The answer, marked as given before.
    pub(crate) fn into_repeated_response(self) -> Response {
        let mut response = self.into_response();
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

/// The answer to what may have been done before: as it was given then, or as `present` has it.
pub(crate) fn first_or_repeated<T>(
    outcome: Outcome<T>,
    present: impl Fn(&T) -> Answer,
) -> Result<Response, Problem> {
    match outcome {
        Outcome::Done(done) => Ok(present(&done).into_response()),
        Outcome::Repeated(kept) => Ok(Answer::from_kept(&kept)?.into_repeated_response()),
    }
}

/// An answer in JSON that is about so long: one that grows from nothing is copied half a dozen times on its way.
pub(crate) fn long_json(bytes: usize, value: &impl Serialize) -> Response {
    let mut body = Vec::with_capacity(bytes);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            Problem::from(Code::InternalError).into_response()
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        // Every status that is kept was one.
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::CREATED);
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Paths and names of our own making: always a header's value.
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
    fn an_answer_that_was_kept_without_a_status_is_a_creation() {
        let old = r#"{"location":"/a","body":"{}"}"#;
        let answer = Answer::from_kept(&KeptAnswer(old.as_bytes().to_vec())).unwrap();
        assert_eq!(answer.to_kept().0, old.as_bytes(), "earlier versions read it as they wrote it");
        let response = answer.into_repeated_response();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["idempotent-replayed"], "true");
    }

    #[test]
    fn an_accepted_upload_is_kept_with_its_status() {
        let job = JobId::from_stored("0192f0c1-0000-7000-8000-000000000000".to_owned());
        let answer = Answer::upload_accepted("/base", &job);
        let again = Answer::from_kept(&answer.to_kept()).unwrap();
        assert!(again == answer);
        let response = again.into_response();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()["location"], format!("/base/v1/jobs/{job}").as_str());
        let body = format!("{{\"success\":true,\"data\":{{\"jobId\":\"{job}\"}}}}");
        assert_eq!(answer.body, body);
    }
}
