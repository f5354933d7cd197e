//! The controls for tokens.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::members::Members;
use super::{error_response, json_response, members};
use crate::app_state::AppState;
use crate::scopes::Scopes;
use crate::state::{App, NewToken, Origin, Token, UserId, VimeoState};

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
    let app = find_live_app(&vimeo_state, &named)?;
    let user = user.resolve(&mut vimeo_state, app.owner)?;
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
        "fingerprint": token.fingerprint,
        "scope": token.scopes.to_string(),
        "app": {"name": app.name, "uri": app.id.to_string()},
        "user": user,
        "kind": token.kind(),
    }))
}

/// The app that a control names, for a new token or code.
pub(super) fn find_live_app(vimeo_state: &VimeoState, named: &str) -> Result<App, String> {
    let app = vimeo_state.find_app(named).ok_or_else(|| format!("There is no app `{named}`."))?;
    if app.is_deleted { Err(format!("The app `{named}` is deleted.")) } else { Ok(app.clone()) }
}

impl TokenUser {
    /// The user that is meant, created if it is a new one.
    pub(super) fn resolve(
        self,
        vimeo_state: &mut VimeoState,
        owner: UserId,
    ) -> Result<Option<UserId>, String> {
        match self {
            Self::Owner => Ok(Some(owner)),
            Self::Existing(id) if vimeo_state.find_user(id).is_none() => {
                Err(format!("There is no user `{id}`."))
            }
            Self::Existing(id) => Ok(Some(id)),
            Self::New { name } => Ok(Some(vimeo_state.add_user(name).id)),
            Self::None => Ok(None),
        }
    }
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
    let now = app_state.now();
    let vimeo_state = app_state.vimeo();
    let tokens: Vec<Value> = vimeo_state.list_tokens().into_iter().map(|token| present(token, now)).collect();
    drop(vimeo_state);
    json_response(StatusCode::OK, &json!({"tokens": tokens}))
}

/// `GET /_sandbox/tokens/{fingerprint}`.
pub(super) async fn show(State(app_state): State<Arc<AppState>>, Path(wanted): Path<String>) -> Response {
    let now = app_state.now();
    match app_state.vimeo().token_by_fingerprint(&wanted) {
        Some(token) => json_response(StatusCode::OK, &present(token, now)),
        None => no_token(),
    }
}

fn present(token: &Token, now: Timestamp) -> Value {
    json!({
        "fingerprint": token.fingerprint,
        "app": token.app.to_string(),
        "scope": token.scopes.to_string(),
        "user": token.user.map(|id: UserId| id.to_string()),
        "kind": token.kind(),
        "origin": token.origin.name(),
        "revoked": token.is_revoked,
        "expired": token.has_expired(now),
        "expires_at": token.expires_at.map(|at| at.to_string()),
    })
}

/// `DELETE /_sandbox/tokens/{fingerprint}`.
pub(super) async fn revoke(State(app_state): State<Arc<AppState>>, Path(wanted): Path<String>) -> Response {
    let mut vimeo_state = app_state.vimeo();
    let Some(token) = vimeo_state.token_by_fingerprint_mut(&wanted) else { return no_token() };
    token.is_revoked = true;
    StatusCode::NO_CONTENT.into_response()
}

/// The changes of a token. An absent member changes nothing.
struct Change {
    scopes: Option<Scopes>,
    expired: Option<bool>,
    revoked: Option<bool>,
    user: Option<TokenUser>,
}

/// `PATCH /_sandbox/tokens/{fingerprint}`. The value of the token stays the same.
pub(super) async fn change(
    State(app_state): State<Arc<AppState>>,
    Path(wanted): Path<String>,
    body: Body,
) -> Response {
    let change = match members(body).await.and_then(read_change) {
        Ok(change) => change,
        Err(sentence) => return error_response(StatusCode::BAD_REQUEST, &sentence),
    };
    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo();
    let Some(app) = vimeo_state.token_by_fingerprint(&wanted).map(|token| token.app) else {
        return no_token();
    };
    let owner = vimeo_state.app_by_id(app).map(|app| app.owner);
    let user = match (change.user, owner) {
        (Some(user), Some(owner)) => match user.resolve(&mut vimeo_state, owner) {
            Ok(user) => Some(user),
            Err(sentence) => return error_response(StatusCode::BAD_REQUEST, &sentence),
        },
        _ => None,
    };
    let Some(token) = vimeo_state.token_by_fingerprint_mut(&wanted) else { return no_token() };
    token.user = user.unwrap_or(token.user);
    token.scopes = change.scopes.unwrap_or_else(|| token.scopes.clone());
    token.is_revoked = change.revoked.unwrap_or(token.is_revoked);
    token.expires_at = match change.expired {
        Some(true) => Some(now),
        Some(false) => None,
        None => token.expires_at,
    };
    json_response(StatusCode::OK, &present(token, now))
}

fn read_change(mut members: Members) -> Result<Change, String> {
    members.refuse_unknown("a change of a token", &["scopes", "expired", "revoked", "user"])?;
    let scopes = members.take("scopes").map(|scopes| read_scopes(Some(scopes))).transpose()?;
    // Present and null means no user, as for a new token; only if it is absent the user stays.
    let user = members.take_even_null("user").map(|user| read_token_user(Some(user))).transpose()?;
    Ok(Change { scopes, expired: members.boolean("expired")?, revoked: members.boolean("revoked")?, user })
}

fn no_token() -> Response {
    error_response(
        StatusCode::NOT_FOUND,
        "There is no token with this fingerprint; GET /_sandbox/tokens lists them.",
    )
}
