//! The controls for tokens.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::members::Members;
use super::{error_response, json_response, members};
use crate::app_state::AppState;
use crate::scopes::Scopes;
use crate::state::{NewToken, Origin, Token, UserId, fingerprint};

const TOKEN_USER: &str = "`user` must be true, false, null, \"/users/N\" or an object with a `name`.";

/// The user of a new token.
pub(super) enum TokenUser {
    Owner,
    Existing(UserId),
    New { name: String },
    None,
}

/// `POST /_sandbox/tokens`.
pub(super) async fn create(State(app_state): State<Arc<AppState>>, body: Body) -> Response {
    match members(body).await.and_then(|members| make(&app_state, members)) {
        Ok(shown) => json_response(StatusCode::CREATED, &shown),
        Err(sentence) => error_response(StatusCode::BAD_REQUEST, &sentence),
    }
}

fn make(app_state: &AppState, mut members: Members) -> Result<Value, String> {
    members.refuse_unknown("a token", &["app", "scopes", "user"])?;
    let named =
        members.text("app")?.ok_or("A token needs an `app`: a client id, or a URI such as /apps/1.")?;
    let scopes = read_scopes(members.take("scopes"))?;
    let user = read_token_user(members.take_even_null("user"))?;

    let mut vimeo_state = app_state.vimeo();
    let app = vimeo_state.find_app(&named).cloned().ok_or_else(|| format!("There is no app `{named}`."))?;
    let user = match user {
        TokenUser::Owner => Some(app.owner),
        TokenUser::New { name } => Some(vimeo_state.add_user(name).id),
        TokenUser::Existing(id) => {
            Some(vimeo_state.find_user(id).ok_or_else(|| format!("There is no user `{id}`."))?.id)
        }
        TokenUser::None => None,
    };
    let token = vimeo_state.add_token(NewToken {
        app: app.id,
        scopes,
        user,
        origin: Origin::Issued,
        expires_at: None,
    });
    let user = user.and_then(|id| vimeo_state.find_user(id)).cloned();
    drop(vimeo_state);
    let user = user.map(|user| {
        let plan = app_state.rate_limits().plan(&user);
        json!({"uri": user.id.to_string(), "name": user.name, "account": plan.name()})
    });
    Ok(json!({
        "access_token": token.value,
        "scope": token.scopes.to_string(),
        "app": {"name": app.name, "uri": app.id.to_string()},
        "user": user,
        "kind": token.kind(),
    }))
}

pub(super) fn read_scopes(value: Option<Value>) -> Result<Scopes, String> {
    match value {
        None => Ok(Scopes::all()),
        Some(Value::String(text)) => Scopes::parse(text.split_ascii_whitespace()),
        Some(Value::Array(names)) => {
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            let names = names.ok_or("`scopes` must be an array of strings.")?;
            Scopes::parse(names.into_iter())
        }
        Some(_) => Err("`scopes` must be an array of strings, or one string with spaces between.".to_owned()),
    }
}

pub(super) fn read_token_user(value: Option<Value>) -> Result<TokenUser, String> {
    match value {
        None | Some(Value::Bool(true)) => Ok(TokenUser::Owner),
        Some(Value::Null | Value::Bool(false)) => Ok(TokenUser::None),
        Some(Value::String(uri)) if uri.starts_with("/users/") => {
            let number = uri.strip_prefix("/users/").and_then(UserId::parse);
            number.map(TokenUser::Existing).ok_or_else(|| format!("There is no user `{uri}`."))
        }
        Some(Value::Object(members)) => {
            let mut members = Members::from(members);
            members.refuse_unknown("a `user`", &["name"])?;
            let name = members.text("name")?.ok_or("A `user` needs a `name`.")?;
            Ok(TokenUser::New { name })
        }
        Some(_) => Err(TOKEN_USER.to_owned()),
    }
}

/// `GET /_sandbox/tokens`.
pub(super) async fn list(State(app_state): State<Arc<AppState>>) -> Response {
    let tokens: Vec<Value> = app_state.vimeo().list_tokens().into_iter().map(present).collect();
    json_response(StatusCode::OK, &json!({"tokens": tokens}))
}

fn present(token: &Token) -> Value {
    json!({
        "fingerprint": fingerprint(token.value.as_bytes()),
        "app": token.app.to_string(),
        "scope": token.scopes.to_string(),
        "user": token.user.map(|id: UserId| id.to_string()),
        "kind": token.kind(),
        "origin": token.origin.name(),
        "revoked": token.is_revoked,
        "expires_at": token.expires_at.map(|at| at.to_string()),
    })
}

/// `DELETE /_sandbox/tokens/{fingerprint}`.
pub(super) async fn revoke(State(app_state): State<Arc<AppState>>, Path(wanted): Path<String>) -> Response {
    let mut vimeo_state = app_state.vimeo();
    let Some(value) = vimeo_state.find_token_value(&wanted) else {
        return error_response(StatusCode::NOT_FOUND, "There is no token with this fingerprint.");
    };
    vimeo_state.revoke(&value);
    StatusCode::NO_CONTENT.into_response()
}
