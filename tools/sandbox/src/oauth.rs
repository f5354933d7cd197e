//! OAuth: how apps come by tokens, alone or with a user's word, and how tokens are looked at and revoked.

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

use crate::ask::{Answered, Ask, Refusal};
use crate::credentials::Credentials;
use crate::desk::Desk;
use crate::errors;
use crate::scopes::Scopes;
use crate::state::{App, ClientRefusal, NewToken, Origin, Token, User};
use crate::users;
use parameters::Parameters;

pub(crate) use authorize::{answer_page, show_page};
pub(crate) use codes::exchange_code;
pub(crate) use devices::{ask_for_code, begin_device, poll_device};

const AUTH: &str = "application/vnd.vimeo.auth+json";

/// `POST /oauth/authorize/client`: a token that speaks for the app alone.
pub(crate) async fn authorize_client(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let app = client(&desk, &ask)?;
    let asked = parameters(&ask)?;
    require_grant(&asked, "client_credentials")?;
    let scopes = Scopes::granted(asked.text("scope").map_err(invalid_request)?.unwrap_or_default());
    let new = NewToken { app: app.id, scopes, user: None, origin: Origin::Granted, expires_at: None };
    let token = desk.world().add_token(new);
    Ok(errors::granted(&present(&token, &app)))
}

/// `GET /oauth/verify`: what a token is good for.
pub(crate) async fn verify(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let Some(caller) = &ask.caller else {
        let text = "You must provide a valid authenticated access token.";
        return Err(errors::legacy(StatusCode::UNAUTHORIZED, text).into());
    };
    let shown = match &caller.user {
        Some(user) => present_with_user(&desk, &caller.token, &caller.app, user),
        None => present(&caller.token, &caller.app),
    };
    Ok(ask.present(StatusCode::OK, AUTH, shown))
}

/// `DELETE /tokens`: revokes the token that the request is made with.
pub(crate) async fn revoke(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let value = &ask.caller()?.token.value;
    desk.world().revoke(value);
    Ok(errors::no_content())
}

/// The app whose credentials a request brings.
fn client(desk: &Desk, ask: &Ask) -> Result<App, Refusal> {
    let found = match &ask.credentials {
        Credentials::Client { client_id, client_secret } => {
            desk.world().find_client(client_id, client_secret)
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

/// What a token endpoint is asked for.
fn parameters(ask: &Ask) -> Result<Parameters, Refusal> {
    let Ok(body) = ask.body() else {
        let text = "The request body is longer than 1 MiB, or it was cut short.";
        return Err(errors::oauth(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", text).into());
    };
    Parameters::of_body(&ask.headers, body).map_err(invalid_request)
}

fn require_grant(asked: &Parameters, wanted: &str) -> Result<(), Refusal> {
    if asked.required("grant_type").map_err(invalid_request)? == wanted {
        return Ok(());
    }
    let text = format!("The grant type must be {wanted}.");
    Err(errors::oauth(StatusCode::BAD_REQUEST, "unsupported_grant_type", &text).into())
}

fn invalid_request(sentence: impl Into<String>) -> Refusal {
    errors::oauth(StatusCode::BAD_REQUEST, "invalid_request", &sentence.into()).into()
}

/// The answer to whoever earned a token that a user allowed.
fn grant(desk: &Desk, token: &Token, app: &App) -> Response {
    let user = token.user.and_then(|id| desk.world().find_user(id).cloned());
    errors::granted(&match user {
        Some(user) => present_with_user(desk, token, app, &user),
        None => present(token, app),
    })
}

fn present_with_user(desk: &Desk, token: &Token, app: &App, user: &User) -> Value {
    let mut shown = present(token, app);
    let plan = desk.windows().plan(user);
    if let Value::Object(shown) = &mut shown {
        shown.insert("user".to_owned(), users::present_own(&desk.world(), (token, app), user, plan));
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
