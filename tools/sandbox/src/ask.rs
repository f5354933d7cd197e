//! A request to the API as its handlers see it: who asks, for what, with which parameters and body.

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
use crate::state::{Caller, FolderId, User, UserId, VideoId};

/// A refusal, ready to be sent.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Response>);

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Refuses one member of a body, or one parameter. `what` goes on with the sentence that begins with its name.
pub(crate) fn refuse(field: &str, code: u32, what: &str) -> Refusal {
    errors::invalid(&[Invalid::new(field, code, what)]).into()
}

/// What a handler of the API returns.
pub(crate) type Answered = Result<Response, Refusal>;

/// The request's whole body, read before its handler runs.
#[derive(Clone)]
pub(crate) struct Payload(pub(crate) Result<Bytes, Unreadable>);

/// Who stands behind the request's token, if anybody.
#[derive(Clone)]
pub(crate) struct Visitor(pub(crate) Option<Caller>);

/// A request.
pub(crate) struct Ask {
    pub(crate) credentials: Credentials,
    pub(crate) caller: Option<Caller>,
    pub(crate) headers: HeaderMap,
    pub(crate) path: String,
    /// As it stands, not decoded.
    pub(crate) query: Option<String>,
    /// How far lists are to be behind with new videos, if a fault wants it.
    pub(crate) list_lag: Option<SignedDuration>,
    payload: Payload,
    parameters: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Ask {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let parameters = match RawPathParams::from_request_parts(parts, state).await {
            Ok(found) => found.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            // A path that is not UTF-8 once it is decoded names nothing.
            Err(_) => return Err(errors::missing_resource().into()),
        };
        Ok(Self {
            credentials: parts.extensions.get().cloned().unwrap_or(Credentials::Absent),
            caller: parts.extensions.get().and_then(|Visitor(caller)| caller.clone()),
            headers: parts.headers.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            list_lag: parts.extensions.get().map(|ListLag(lag)| *lag),
            payload: parts.extensions.get().cloned().unwrap_or(Payload(Ok(Bytes::new()))),
            parameters,
        })
    }
}

impl Ask {
    /// Who asks, which must be somebody with a good token.
    pub(crate) fn caller(&self) -> Result<&Caller, Refusal> {
        self.caller.as_ref().ok_or_else(|| errors::no_credentials().into())
    }

    /// The user who asks.
    pub(crate) fn user(&self) -> Result<(&Caller, &User), Refusal> {
        let caller = self.caller()?;
        caller.user.as_ref().map(|user| (caller, user)).ok_or_else(|| errors::no_user().into())
    }

    /// The user who asks, with a token that has a scope.
    pub(crate) fn user_with(&self, scope: &str) -> Result<(&Caller, &User), Refusal> {
        let (caller, user) = self.user()?;
        if !caller.token.scopes.contains(scope) {
            return Err(errors::missing_scope(scope).into());
        }
        Ok((caller, user))
    }

    /// Whether the path speaks of the caller: by `/me`, or by their own number.
    pub(crate) fn owner(&self, user: &User) -> Result<Whose, Refusal> {
        match self.parameter("user") {
            None => Ok(Whose::Own),
            Some(text) => {
                let id = UserId::parse(text).ok_or_else(errors::missing_resource)?;
                Ok(if id == user.id { Whose::Own } else { Whose::Others(id) })
            }
        }
    }

    /// A parameter of the path, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The folder that the path names.
    pub(crate) fn folder(&self) -> Result<FolderId, Refusal> {
        let found = self.parameter("folder").and_then(FolderId::parse);
        found.ok_or_else(|| errors::missing_folder().into())
    }

    /// The video that the path names, as `N` or, for an unlisted one, `N:hash`.
    pub(crate) fn video(&self) -> Result<VideoId, Refusal> {
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

    /// The body as a JSON object. An absent one is none.
    pub(crate) fn members(&self) -> Result<Map<String, Value>, Refusal> {
        let body = self.body().map_err(|_| errors::body_too_long())?;
        if body.trim_ascii().is_empty() {
            return Ok(Map::new());
        }
        if !matches!(body::media_type(&self.headers).as_str(), "" | "application/json") {
            // By the letter of the specification it would be a media type of each resource, which Vimeo does not read.
            return Err(errors::malformed_body("The request body must be sent as application/json.").into());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(errors::malformed_body("The request body must be a JSON object.").into()),
            Err(_) => Err(errors::not_json().into()),
        }
    }

    /// The same where there must be a body that says something.
    pub(crate) fn members_of_some(&self) -> Result<Map<String, Value>, Refusal> {
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

    /// An answer with what the client asked for of it.
    pub(crate) fn present(&self, status: StatusCode, content_type: &'static str, whole: Value) -> Response {
        errors::answer(status, content_type, &self.fields().pick(whole))
    }
}

/// Whose things a path speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Own,
    Others(UserId),
}
