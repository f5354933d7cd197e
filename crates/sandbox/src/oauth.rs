//! Tokens: given for a client's credentials, looked at, and revoked.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::ask::{Answered, Ask};
use crate::credentials::Credentials;
use crate::desk::Desk;
use crate::errors;
use crate::scopes::Scopes;
use crate::state::{App, ClientRefusal, NewToken, Origin, Token};
use crate::users;

const AUTH: &str = "application/vnd.vimeo.auth+json";

/// `POST /oauth/authorize/client`: a token that speaks for the app alone.
pub(crate) async fn authorize_client(State(desk): State<Arc<Desk>>, ask: Ask) -> Response {
    let found = match &ask.credentials {
        Credentials::Client { client_id, client_secret } => {
            desk.world().find_client(client_id, client_secret)
        }
        _ => Err(ClientRefusal::UnknownId),
    };
    let app = match found {
        Ok(app) => app,
        Err(refusal) => return refuse_client(refusal),
    };
    let Ok(body) = ask.body() else {
        let text = "The request body is longer than 1 MiB, or it was cut short.";
        return errors::oauth(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", text);
    };
    let asked = match Grant::read(&ask.headers, body) {
        Ok(asked) => asked,
        Err(text) => return errors::oauth(StatusCode::BAD_REQUEST, "invalid_request", &text),
    };
    match asked.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(_) => {
            let text = "The grant type must be client_credentials.";
            return errors::oauth(StatusCode::BAD_REQUEST, "unsupported_grant_type", text);
        }
        None => {
            let text = "The grant_type parameter is missing.";
            return errors::oauth(StatusCode::BAD_REQUEST, "invalid_request", text);
        }
    }
    let scopes = Scopes::granted(asked.scope.as_deref().unwrap_or_default());
    let new = NewToken { app: app.id, scopes, user: None, origin: Origin::Granted, expires_at: None };
    let token = desk.world().add_token(new);
    errors::granted(&present(&token, &app))
}

fn refuse_client(refusal: ClientRefusal) -> Response {
    match refusal {
        ClientRefusal::UnknownId => errors::oauth(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "A valid client ID must be provided along with any request made to Vimeo's API",
        ),
        ClientRefusal::WrongSecret => errors::uncached(errors::full(
            StatusCode::UNAUTHORIZED,
            8001,
            "Something strange occurred. Please contact the app owners.",
            "No such client secret exists",
        )),
    }
}

/// `GET /oauth/verify`: what a token is good for.
pub(crate) async fn verify(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let Some(caller) = &ask.caller else {
        let text = "You must provide a valid authenticated access token.";
        return Err(errors::legacy(StatusCode::UNAUTHORIZED, text).into());
    };
    let mut shown = present(&caller.token, &caller.app);
    if let (Value::Object(shown), Some(user)) = (&mut shown, &caller.user) {
        let plan = desk.windows().plan(user);
        shown.insert("user".to_owned(), users::present(&desk.world(), user, plan));
    }
    Ok(errors::answer(StatusCode::OK, AUTH, &shown))
}

/// `DELETE /tokens`: revokes the token that the request is made with.
pub(crate) async fn revoke(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let value = &ask.caller()?.token.value;
    desk.world().revoke(value);
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn present(token: &Token, app: &App) -> Value {
    json!({
        "access_token": token.value,
        "token_type": "bearer",
        "scope": token.scopes.to_string(),
        "app": {"name": app.name, "uri": app.id.to_string()},
    })
}

/// What a client asks a token endpoint for.
#[derive(Default)]
struct Grant {
    grant_type: Option<String>,
    scope: Option<String>,
}

impl Grant {
    /// Reads a form or JSON, as the content type says; every client library sends one of the two.
    fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, String> {
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media_type == "application/json" || media_type.ends_with("+json") {
            return Self::read_json(body);
        }
        if media_type.is_empty() || media_type == "application/x-www-form-urlencoded" {
            return Ok(Self::read_form(body));
        }
        Err("The content type must be application/json or application/x-www-form-urlencoded.".to_owned())
    }

    fn read_json(body: &[u8]) -> Result<Self, String> {
        let Ok(Value::Object(mut members)) = serde_json::from_slice(body) else {
            return Err("The request body is not a JSON object.".to_owned());
        };
        let mut take = |name: &str| match members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("The {name} parameter must be a string.")),
        };
        Ok(Self { grant_type: take("grant_type")?, scope: take("scope")? })
    }

    fn read_form(body: &[u8]) -> Self {
        let mut grant = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            match name.as_ref() {
                "grant_type" => grant.grant_type = Some(value.into_owned()),
                "scope" => grant.scope = Some(value.into_owned()),
                _ => {}
            }
        }
        grant
    }
}
