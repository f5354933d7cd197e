//! An API request as handlers see it: the caller, the path, the parameters and the body.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use crate::body::{self, Unreadable};
use crate::credentials::Credentials;
use crate::errors::{self, Invalid};
use crate::faults::ListLag;
use crate::fields::Fields;
use crate::state::{Caller, Feature, FolderId, User, UserId, VideoId};

/// An error response, ready to be sent.
#[derive(Debug)]
pub(crate) struct ErrorResponse(Box<Response>);

impl From<Response> for ErrorResponse {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// The error response for one invalid member of a body, or one parameter. `what` completes the sentence that begins
/// with its name.
pub(crate) fn invalid_field(field: &str, code: u32, what: &str) -> ErrorResponse {
    errors::invalid(&[Invalid::new(field, code, what)]).into()
}

/// The result of an API handler.
pub(crate) type HandlerResult = Result<Response, ErrorResponse>;

/// The request's whole body, read before its handler runs.
#[derive(Clone)]
pub(crate) struct Payload(pub(crate) Result<Bytes, Unreadable>);

/// The caller that the request's token authenticates, if any.
#[derive(Clone)]
pub(crate) struct RequestCaller(pub(crate) Option<Caller>);

/// An API request.
pub(crate) struct ApiRequest {
    pub(crate) credentials: Credentials,
    pub(crate) caller: Option<Caller>,
    pub(crate) headers: HeaderMap,
    pub(crate) path: String,
    /// Not decoded.
    pub(crate) query: Option<String>,
    /// How long new videos are missing from lists, if a fault is set.
    pub(crate) list_lag: Option<SignedDuration>,
    payload: Payload,
    parameters: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for ApiRequest {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let parameters = match RawPathParams::from_request_parts(parts, state).await {
            Ok(found) => found.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            // A path that is not UTF-8 when decoded names nothing.
            Err(_) => return Err(errors::missing_resource().into()),
        };
        Ok(Self {
            credentials: parts.extensions.get().cloned().unwrap_or(Credentials::Absent),
            caller: parts.extensions.get().and_then(|RequestCaller(caller)| caller.clone()),
            headers: parts.headers.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            list_lag: parts.extensions.get().map(|ListLag(lag)| *lag),
            payload: parts.extensions.get().cloned().unwrap_or(Payload(Ok(Bytes::new()))),
            parameters,
        })
    }
}

impl ApiRequest {
    /// The caller, which must be authenticated.
    pub(crate) fn caller(&self) -> Result<&Caller, ErrorResponse> {
        self.caller.as_ref().ok_or_else(|| errors::no_credentials().into())
    }

    /// The user of the token.
    pub(crate) fn user(&self) -> Result<(&Caller, &User), ErrorResponse> {
        let caller = self.caller()?;
        caller.user.as_ref().map(|user| (caller, user)).ok_or_else(|| errors::no_user().into())
    }

    /// The user of the token, which must have a scope.
    pub(crate) fn user_with(&self, scope: &str) -> Result<(&Caller, &User), ErrorResponse> {
        let (caller, user) = self.user()?;
        if !caller.token.scopes.contains(scope) {
            return Err(errors::missing_scope(scope).into());
        }
        Ok((caller, user))
    }

    /// The user of the token, which must have a scope, and whose plan must include a feature.
    pub(crate) fn user_for(&self, scope: &str, feature: Feature) -> Result<(&Caller, &User), ErrorResponse> {
        let (caller, user) = self.user_with(scope)?;
        if user.refused_features.contains(&feature) {
            return Err(errors::plan_lacks(feature).into());
        }
        Ok((caller, user))
    }

    /// Whether the path names the caller, as `/me` or by their number, or another user.
    pub(crate) fn owner(&self, user: &User) -> Result<PathOwner, ErrorResponse> {
        match self.parameter("user") {
            None => Ok(PathOwner::Caller),
            Some(text) => {
                let id = UserId::parse(text).ok_or_else(errors::missing_resource)?;
                Ok(if id == user.id { PathOwner::Caller } else { PathOwner::Other(id) })
            }
        }
    }

    /// A parameter of the path, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A number in the path, such as that of a thumbnail.
    pub(crate) fn number(&self, name: &str) -> Result<u64, ErrorResponse> {
        let found = self.parameter(name).and_then(|text| text.parse().ok());
        found.ok_or_else(|| errors::missing_resource().into())
    }

    /// The folder that the path names.
    pub(crate) fn folder(&self) -> Result<FolderId, ErrorResponse> {
        let found = self.parameter("folder").and_then(FolderId::parse);
        found.ok_or_else(|| errors::missing_folder().into())
    }

    /// The video that the path names, as `N` or, for an unlisted one, `N:hash`.
    pub(crate) fn video(&self) -> Result<VideoId, ErrorResponse> {
        let named = VideoId::parse_named(self.parameter("video").unwrap_or_default());
        named.map(|(id, _)| id).ok_or_else(|| errors::missing_resource().into())
    }

    /// The hash in the path `/videos/N:hash`.
    pub(crate) fn video_hash(&self) -> Option<&str> {
        VideoId::parse_named(self.parameter("video")?)?.1
    }

    /// The first value of a query parameter, decoded.
    pub(crate) fn parameter_of_query(&self, name: &str) -> Option<String> {
        let query = self.query.as_deref()?.as_bytes();
        form_urlencoded::parse(query).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }

    /// The body's bytes.
    pub(crate) fn body(&self) -> Result<&Bytes, Unreadable> {
        self.payload.0.as_ref().map_err(|error| *error)
    }

    /// The body as a JSON object. An empty body has no members.
    pub(crate) fn members(&self) -> Result<Map<String, Value>, ErrorResponse> {
        let body = self.body().map_err(|_| errors::body_too_long())?;
        if body.trim_ascii().is_empty() {
            return Ok(Map::new());
        }
        match self.json()? {
            Value::Object(members) => Ok(members),
            _ => Err(errors::malformed_body("The request body must be a JSON object.").into()),
        }
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, ErrorResponse> {
        let body = self.body().map_err(|_| errors::body_too_long())?;
        if !matches!(body::media_type(&self.headers).as_str(), "" | "application/json") {
            // The specification names a media type for each resource; Vimeo accepts JSON only.
            return Err(errors::malformed_body("The request body must be sent as application/json.").into());
        }
        serde_json::from_slice(body).map_err(|_| errors::not_json().into())
    }

    /// The body as a JSON object that must not be empty.
    pub(crate) fn members_of_some(&self) -> Result<Map<String, Value>, ErrorResponse> {
        let members = self.members()?;
        if members.is_empty() {
            return Err(errors::malformed_body("The request body is empty.").into());
        }
        Ok(members)
    }

    /// The fields that the client asked for.
    pub(crate) fn fields(&self) -> Fields {
        Fields::of_query(self.query.as_deref())
    }

    /// A response with the fields that the client asked for.
    pub(crate) fn present(&self, status: StatusCode, content_type: &'static str, whole: Value) -> Response {
        errors::answer(status, content_type, &self.fields().pick(whole))
    }
}

/// Whose resources a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathOwner {
    Caller,
    Other(UserId),
}
