//! The controls for apps, for users, and for codes that a test wants without a browser.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::members::Members;
use super::tokens::{Whom, read_scopes, read_whom};
use super::{done, members, refused};
use crate::desk::Desk;
use crate::oauth::redirects::{self, Place};
use crate::state::{App, AppId, Consent, NewApp, Return};

/// What a body says of an app.
struct AppIn {
    name: Option<String>,
    upload_access: Option<bool>,
    redirect_uris: Option<Vec<String>>,
}

/// `POST /_sandbox/apps`.
pub(super) async fn create(State(desk): State<Arc<Desk>>, body: Body) -> Response {
    let AppIn { name, upload_access, redirect_uris } = match members(body).await.and_then(read_app) {
        Ok(read) => read,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    let app = desk.world().add_app(NewApp {
        name: name.unwrap_or_else(|| "Another App".to_owned()),
        has_upload_access: upload_access.unwrap_or(true),
        redirect_uris: redirect_uris.unwrap_or_default(),
    });
    done(StatusCode::CREATED, &present_app(&app))
}

/// `PATCH /_sandbox/apps/{number}`.
pub(super) async fn change(
    State(desk): State<Arc<Desk>>,
    Path(number): Path<String>,
    body: Body,
) -> Response {
    let AppIn { name, upload_access, redirect_uris } = match members(body).await.and_then(read_app) {
        Ok(read) => read,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    let mut world = desk.world();
    let Some(app) = AppId::parse(&number).and_then(|id| world.app_by_id_mut(id)) else {
        return refused(
            StatusCode::NOT_FOUND,
            "There is no app with this number; GET /_sandbox/apps lists them.",
        );
    };
    app.name = name.unwrap_or_else(|| app.name.clone());
    app.has_upload_access = upload_access.unwrap_or(app.has_upload_access);
    app.redirect_uris = redirect_uris.unwrap_or_else(|| app.redirect_uris.clone());
    done(StatusCode::OK, &present_app(app))
}

fn read_app(mut members: Members) -> Result<AppIn, String> {
    members.refuse_unknown("an app", &["name", "upload_access", "redirect_uris"])?;
    let redirect_uris = members.texts("redirect_uris")?;
    for uri in redirect_uris.iter().flatten() {
        if let Some(flaw) = redirects::flaw(uri) {
            return Err(format!("The redirect URI `{uri}` {flaw}."));
        }
    }
    Ok(AppIn { name: members.text("name")?, upload_access: members.truth("upload_access")?, redirect_uris })
}

/// `GET /_sandbox/apps`.
pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Response {
    let apps: Vec<Value> = desk.world().list_apps().map(present_app).collect();
    done(StatusCode::OK, &json!({"apps": apps}))
}

fn present_app(app: &App) -> Value {
    json!({
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "name": app.name,
        "uri": app.id.to_string(),
        "owner": app.owner.to_string(),
        "upload_access": app.has_upload_access,
        "redirect_uris": app.redirect_uris,
        "guest": app.is_guest,
    })
}

/// `POST /_sandbox/codes`.
pub(super) async fn create_code(State(desk): State<Arc<Desk>>, body: Body) -> Response {
    match members(body).await.and_then(|members| make_code(&desk, members)) {
        Ok(shown) => done(StatusCode::CREATED, &shown),
        Err(sentence) => refused(StatusCode::BAD_REQUEST, &sentence),
    }
}

fn make_code(desk: &Desk, mut members: Members) -> Result<Value, String> {
    members.refuse_unknown("a code", &["app", "redirect_uri", "scopes", "user", "state"])?;
    let named =
        members.text("app")?.ok_or("A code needs an `app`: a client id, or a URI such as /apps/1.")?;
    let redirect_uri = members.text("redirect_uri")?;
    let scopes = read_scopes(members.take("scopes"))?;
    let whom = read_whom(members.take_even_null("user"))?;
    let state = members.text("state")?;

    let now = desk.now();
    let mut world = desk.world();
    let app = world.find_app(&named).cloned().ok_or_else(|| format!("There is no app `{named}`."))?;
    let back = Return {
        is_named: redirect_uri.is_some(),
        redirect_uri: choose_redirect(&app, redirect_uri)?,
        state: state.map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect()),
    };
    let user = match whom {
        Whom::Owner => app.owner,
        Whom::Known(id) => world.find_user(id).ok_or_else(|| format!("There is no user `{id}`."))?.id,
        Whom::Newcomer { name } => world.add_user(name).id,
        Whom::Nobody => return Err("A code needs a `user`: only users allow anything.".to_owned()),
    };
    let code = world.add_code(Consent { app: app.id, user, scopes }, &back, now);
    let location = redirects::location(&back, Place::Query, &[("code", &code)]);
    Ok(json!({"code": code, "location": location}))
}

fn choose_redirect(app: &App, named: Option<String>) -> Result<String, String> {
    match (named, app.redirect_uris.as_slice()) {
        (Some(uri), _) if redirects::is_allowed(app, &uri) => Ok(uri),
        (Some(uri), _) => Err(format!("The app has not registered the redirect URI `{uri}`.")),
        (None, [only]) => Ok(only.clone()),
        (None, []) => {
            Err("The app has no redirect URI: register one, with PATCH /_sandbox/apps/N.".to_owned())
        }
        (None, _) => Err("The app has several redirect URIs: say which in `redirect_uri`.".to_owned()),
    }
}
