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
use crate::limits::RateLimits;
use crate::scopes::Scopes;
use crate::state::{App, NewToken, Origin, Token, User, UserId, VimeoState};
use crate::token_usage::Usage;

const TOKEN_USER: &str = "`user` must be true, false, null, \"/users/N\" or an object with a `name`.";

/// How many tokens one request may create.
const COUNT_MAX: u64 = 20_000;

/// The user of a new token.
pub(super) enum TokenUser {
    Owner,
    Existing(UserId),
    New { name: String },
    None,
}

/// The order for one token.
struct TokenIn {
    app: String,
    scopes: Scopes,
    user: TokenUser,
}

/// The order for many tokens, each of a new user.
struct TokensIn {
    app: String,
    scopes: Scopes,
    /// The users' name, before a number.
    name: String,
    count: u64,
    requests_per_minute: Option<u64>,
}

/// `POST /_sandbox/tokens`.
pub(super) async fn create(State(app_state): State<Arc<AppState>>, body: Body) -> Response {
    let made = members(body).await.and_then(|members| {
        if members.has("count") {
            make_many(&app_state, &read_many(members)?)
        } else {
            make(&app_state, read_one(members)?)
        }
    });
    match made {
        Ok(shown) => json_response(StatusCode::CREATED, &shown),
        Err(sentence) => error_response(StatusCode::BAD_REQUEST, &sentence),
    }
}

fn read_one(mut members: Members) -> Result<TokenIn, String> {
    members.refuse_unknown("a token", &["app", "scopes", "user", "count"])?;
    Ok(TokenIn {
        app: read_app(&mut members)?,
        scopes: read_scopes(members.take("scopes"))?,
        user: read_token_user(members.take_even_null("user"))?,
    })
}

fn read_many(mut members: Members) -> Result<TokensIn, String> {
    let known = ["app", "scopes", "user", "count", "requests_per_minute"];
    members.refuse_unknown("an order with `count`", &known)?;
    let name = match members.take_even_null("user").map(|user| read_token_user(Some(user))).transpose()? {
        None => "User".to_owned(),
        Some(TokenUser::New { name }) => name,
        Some(_) => {
            return Err("With `count` each token has a new user: `user` must be an object with the `name` \
                        that comes before their numbers."
                .to_owned());
        }
    };
    let count = members.number("count")?.unwrap_or_default();
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(format!("`count` must be from 1 to {COUNT_MAX}."));
    }
    Ok(TokensIn {
        app: read_app(&mut members)?,
        scopes: read_scopes(members.take("scopes"))?,
        name,
        count,
        requests_per_minute: members.number("requests_per_minute")?,
    })
}

fn read_app(members: &mut Members) -> Result<String, String> {
    let needed = "A token needs an `app`: a client id, or a URI such as /apps/1.";
    members.text("app")?.ok_or_else(|| needed.to_owned())
}

fn make(app_state: &AppState, order: TokenIn) -> Result<Value, String> {
    let mut vimeo_state = app_state.vimeo();
    let app = find_live_app(&vimeo_state, &order.app)?;
    let user = order.user.resolve(&mut vimeo_state, app.owner)?;
    let token = vimeo_state.add_token(issued(&app, order.scopes, user));
    let user = user.and_then(|id| vimeo_state.find_user(id)).cloned();
    drop(vimeo_state);
    Ok(present_made(&app_state.rate_limits(), &app, &token, user.as_ref()))
}

fn make_many(app_state: &AppState, order: &TokensIn) -> Result<Value, String> {
    let mut vimeo_state = app_state.vimeo();
    let app = find_live_app(&vimeo_state, &order.app)?;
    let made: Vec<(Token, User)> = (1..=order.count)
        .map(|number| {
            let user = vimeo_state.add_user(format!("{} {number}", order.name));
            if let Some(user) = vimeo_state.find_user_mut(user.id) {
                user.requests_per_minute = order.requests_per_minute;
            }
            (vimeo_state.add_token(issued(&app, order.scopes.clone(), Some(user.id))), user)
        })
        .collect();
    drop(vimeo_state);
    let rate_limits = app_state.rate_limits();
    let tokens: Vec<Value> =
        made.iter().map(|(token, user)| present_made(&rate_limits, &app, token, Some(user))).collect();
    Ok(json!({"tokens": tokens}))
}

fn issued(app: &App, scopes: Scopes, user: Option<UserId>) -> NewToken {
    NewToken { app: app.id, scopes, user, origin: Origin::Issued, expires_at: None }
}

/// A new token with its value. Other controls show its fingerprint only.
fn present_made(rate_limits: &RateLimits, app: &App, token: &Token, user: Option<&User>) -> Value {
    let user = user.map(|user| {
        let account = rate_limits.plan(user).name();
        json!({"uri": user.id.to_string(), "name": user.name, "account": account})
    });
    json!({
        "access_token": token.value,
        "fingerprint": token.fingerprint,
        "scope": token.scopes.to_string(),
        "app": {"name": app.name, "uri": app.id.to_string()},
        "user": user,
        "kind": token.kind(),
    })
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
    let tokens: Vec<Token> = app_state.vimeo().list_tokens().into_iter().cloned().collect();
    let usage = app_state.token_usage();
    let tokens: Vec<Value> = tokens.iter().map(|token| present(token, usage.of(&token.value), now)).collect();
    drop(usage);
    json_response(StatusCode::OK, &json!({"tokens": tokens}))
}

/// `GET /_sandbox/tokens/{fingerprint}`.
pub(super) async fn show(State(app_state): State<Arc<AppState>>, Path(wanted): Path<String>) -> Response {
    let token = app_state.vimeo().token_by_fingerprint(&wanted).cloned();
    token.map_or_else(no_token, |token| show_one(&app_state, &token))
}

fn show_one(app_state: &AppState, token: &Token) -> Response {
    let usage = app_state.token_usage().of(&token.value);
    json_response(StatusCode::OK, &present(token, usage, app_state.now()))
}

fn present(token: &Token, usage: Usage, now: Timestamp) -> Value {
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
        "requests": usage.requests,
        "refused_429": usage.refused,
        "last_request_at": usage.last_request_at.map(|at| at.to_string()),
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
    let token = token.clone();
    drop(vimeo_state);
    show_one(&app_state, &token)
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
