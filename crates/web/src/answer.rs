//! An answer that can be kept, so that a repeated request is answered byte for byte as the first was.

use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::connection::Connection;
use domain::idempotency::KeptAnswer;
use serde::{Deserialize, Serialize};

use crate::body::{IGNORED_FIELDS, IgnoredFields};
use crate::error::{Code, Problem};
use crate::headers::IDEMPOTENT_REPLAYED;
use crate::v1::connection::CreatedOut;

/// A 201 with its body. Its form as JSON is what the store keeps: later versions must read it, and earlier ones beside
/// them, which is why a field more is no error.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_fields: Option<String>,
    body: String,
}

impl Answer {
    /// The answer to a creation.
    pub(crate) fn created(base_path: &str, connection: &Connection, ignored: &IgnoredFields) -> Self {
        Self {
            location: format!("{base_path}/v1/vimeo-connections/{}", connection.id),
            ignored_fields: ignored.in_words(),
            // Texts, a number and a flag: they always are JSON.
            body: serde_json::to_string(&CreatedOut::from(connection)).unwrap_or_default(),
        }
    }

    pub(crate) fn to_kept(&self) -> KeptAnswer {
        KeptAnswer(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn from_kept(kept: &KeptAnswer) -> Result<Self, Problem> {
        serde_json::from_slice(&kept.0).map_err(|error| {
            tracing::error!(%error, "an answer that was kept for repetitions cannot be read");
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
        let mut response = (StatusCode::CREATED, self.body).into_response();
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
