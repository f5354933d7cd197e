//! The controls for tokens.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::members::Members;
use super::{done, members, refused};
use crate::desk::Desk;
use crate::scopes::Scopes;
use crate::state::{NewToken, Origin, Token, UserId, fingerprint};

const WHOM: &str = "`user` must be true, false, null, \"/users/N\" or an object with a `name`.";

/// Whom a new token is to speak for.
pub(super) enum Whom {
    Owner,
    Known(UserId),
    Newcomer { name: String },
    Nobody,
}

/// `POST /_sandbox/tokens`.
pub(super) async fn create(State(desk): State<Arc<Desk>>, body: Body) -> Response {
    match members(body).await.and_then(|members| make(&desk, members)) {
        Ok(shown) => done(StatusCode::CREATED, &shown),
        Err(sentence) => refused(StatusCode::BAD_REQUEST, &sentence),
    }
}

fn make(desk: &Desk, mut members: Members) -> Result<Value, String> {
    members.refuse_unknown("a token", &["app", "scopes", "user"])?;
    let named =
        members.text("app")?.ok_or("A token needs an `app`: a client id, or a URI such as /apps/1.")?;
    let scopes = read_scopes(members.take("scopes"))?;
    let whom = read_whom(members.take_even_null("user"))?;

    let mut world = desk.world();
    let app = world.find_app(&named).cloned().ok_or_else(|| format!("There is no app `{named}`."))?;
    let user = match whom {
        Whom::Owner => Some(app.owner),
        Whom::Newcomer { name } => Some(world.add_user(name).id),
        Whom::Known(id) => Some(world.find_user(id).ok_or_else(|| format!("There is no user `{id}`."))?.id),
        Whom::Nobody => None,
    };
    let token =
        world.add_token(NewToken { app: app.id, scopes, user, origin: Origin::Issued, expires_at: None });
    let user = user.and_then(|id| world.find_user(id)).cloned();
    drop(world);
    let user = user.map(|user| {
        let plan = desk.windows().plan(&user);
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

pub(super) fn read_whom(value: Option<Value>) -> Result<Whom, String> {
    match value {
        None | Some(Value::Bool(true)) => Ok(Whom::Owner),
        Some(Value::Null | Value::Bool(false)) => Ok(Whom::Nobody),
        Some(Value::String(uri)) if uri.starts_with("/users/") => {
            let number = uri.strip_prefix("/users/").and_then(UserId::parse);
            number.map(Whom::Known).ok_or_else(|| format!("There is no user `{uri}`."))
        }
        Some(Value::Object(members)) => {
            let mut members = Members::from(members);
            members.refuse_unknown("a `user`", &["name"])?;
            let name = members.text("name")?.ok_or("A `user` needs a `name`.")?;
            Ok(Whom::Newcomer { name })
        }
        Some(_) => Err(WHOM.to_owned()),
    }
}

/// `GET /_sandbox/tokens`.
pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Response {
    let tokens: Vec<Value> = desk.world().list_tokens().into_iter().map(present).collect();
    done(StatusCode::OK, &json!({"tokens": tokens}))
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
pub(super) async fn revoke(State(desk): State<Arc<Desk>>, Path(wanted): Path<String>) -> Response {
    let mut world = desk.world();
    let Some(value) = world.find_token_value(&wanted) else {
        return refused(StatusCode::NOT_FOUND, "There is no token with this fingerprint.");
    };
    world.revoke(&value);
    StatusCode::NO_CONTENT.into_response()
}
