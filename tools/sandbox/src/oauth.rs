//! OAuth: how apps get tokens, with or without a user, and how tokens are verified and revoked.

mod authorize;
mod codes;
mod consent;
mod devices;
mod parameters;
pub(crate) mod redirects;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult};
use crate::app_state::AppState;
use crate::credentials::Credentials;
use crate::errors;
use crate::scopes::Scopes;
use crate::state::{App, ClientRefusal, NewToken, Origin, Token, User};
use crate::users;
use parameters::Parameters;

pub(crate) use authorize::{answer_page, show_page};
pub(crate) use codes::exchange_code;
pub(crate) use devices::{poll_device, show_code_form, start_device};

const AUTH: &str = "application/vnd.vimeo.auth+json";

/// `POST /oauth/authorize/client`: a token for the app alone.
pub(crate) async fn authorize_client(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let app = client(&app_state, &request)?;
    let asked = parameters(&request)?;
    require_grant(&asked, "client_credentials")?;
    let scopes = Scopes::granted(asked.text("scope").map_err(invalid_request)?.unwrap_or_default());
    let new = NewToken { app: app.id, scopes, user: None, origin: Origin::Granted, expires_at: None };
    let token = app_state.vimeo().add_token(new);
    Ok(errors::granted(&present(&token, &app)))
}

/// `GET /oauth/verify`: the properties of a token.
pub(crate) async fn verify(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let Some(caller) = &request.caller else {
        let text = "You must provide a valid authenticated access token.";
        return Err(errors::legacy(StatusCode::UNAUTHORIZED, text).into());
    };
    let shown = match &caller.user {
        Some(user) => present_with_user(&app_state, &caller.token, &caller.app, user),
        None => present(&caller.token, &caller.app),
    };
    Ok(request.present(StatusCode::OK, AUTH, shown))
}

/// `DELETE /tokens`: revokes the token of the request.
pub(crate) async fn revoke(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let value = &request.caller()?.token.value;
    app_state.vimeo().revoke(value);
    Ok(errors::no_content())
}

/// The app that the request's credentials belong to.
fn client(app_state: &AppState, request: &ApiRequest) -> Result<App, ErrorResponse> {
    let found = match &request.credentials {
        Credentials::Client { client_id, client_secret } => {
            app_state.vimeo().find_client(client_id, client_secret)
        }
        _ => Err(ClientRefusal::UnknownId),
    };
    found.map_err(|refusal| refuse_client(refusal).into())
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

/// The parameters of a token request.
fn parameters(request: &ApiRequest) -> Result<Parameters, ErrorResponse> {
    let Ok(body) = request.body() else {
        let text = "The request body is longer than 1 MiB, or it was cut short.";
        return Err(errors::oauth(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", text).into());
    };
    Parameters::of_body(&request.headers, body).map_err(invalid_request)
}

fn require_grant(asked: &Parameters, wanted: &str) -> Result<(), ErrorResponse> {
    if asked.required("grant_type").map_err(invalid_request)? == wanted {
        return Ok(());
    }
    let text = format!("The grant type must be {wanted}.");
    Err(errors::oauth(StatusCode::BAD_REQUEST, "unsupported_grant_type", &text).into())
}

fn invalid_request(sentence: impl Into<String>) -> ErrorResponse {
    errors::oauth(StatusCode::BAD_REQUEST, "invalid_request", &sentence.into()).into()
}

/// The response with a token that a user has allowed.
fn grant(app_state: &AppState, token: &Token, app: &App) -> Response {
    let user = token.user.and_then(|id| app_state.vimeo().find_user(id).cloned());
    errors::granted(&match user {
        Some(user) => present_with_user(app_state, token, app, &user),
        None => present(token, app),
    })
}

fn present_with_user(app_state: &AppState, token: &Token, app: &App, user: &User) -> Value {
    let mut shown = present(token, app);
    let plan = app_state.rate_limits().plan(user);
    if let Value::Object(shown) = &mut shown {
        shown.insert("user".to_owned(), users::present_own(&app_state.vimeo(), (token, app), user, plan));
    }
    shown
}

fn present(token: &Token, app: &App) -> Value {
    json!({
        "access_token": token.value,
        "token_type": "bearer",
        "scope": token.scopes.to_string(),
        "app": {"name": app.name, "uri": app.id.to_string()},
    })
}
