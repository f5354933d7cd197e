//! The controls for apps and for authorization codes without a browser.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::members::Members;
use super::tokens::{find_live_app, read_scopes, read_token_user};
use super::{error_response, json_response, members};
use crate::app_state::AppState;
use crate::oauth::redirects::{self, ParameterLocation};
use crate::state::{App, AppId, Consent, NewApp, RedirectTarget};

/// The members of an app that may be set at any time.
const MEMBERS: [&str; 3] = ["name", "upload_access", "redirect_uris"];
/// Those of an existing app.
const CHANGE_MEMBERS: [&str; 5] =
    ["name", "upload_access", "redirect_uris", "client_secret_rotated", "deleted"];

/// The body for an app.
struct AppIn {
    name: Option<String>,
    upload_access: Option<bool>,
    redirect_uris: Option<Vec<String>>,
    rotates_secret: bool,
    deleted: Option<bool>,
}

/// `POST /_sandbox/apps`.
pub(super) async fn create(State(app_state): State<Arc<AppState>>, body: Body) -> Response {
    let AppIn { name, upload_access, redirect_uris, .. } =
        match members(body).await.and_then(|members| read_app(members, &MEMBERS)) {
            Ok(read) => read,
            Err(sentence) => return error_response(StatusCode::BAD_REQUEST, &sentence),
        };
    let app = app_state.vimeo().add_app(NewApp {
        name: name.unwrap_or_else(|| "Another App".to_owned()),
        has_upload_access: upload_access.unwrap_or(true),
        redirect_uris: redirect_uris.unwrap_or_default(),
    });
    json_response(StatusCode::CREATED, &present_app(&app))
}

/// `PATCH /_sandbox/apps/{number}`.
pub(super) async fn change(
    State(app_state): State<Arc<AppState>>,
    Path(number): Path<String>,
    body: Body,
) -> Response {
    let change = match members(body).await.and_then(|members| read_app(members, &CHANGE_MEMBERS)) {
        Ok(change) => change,
        Err(sentence) => return error_response(StatusCode::BAD_REQUEST, &sentence),
    };
    let mut vimeo_state = app_state.vimeo();
    let id = AppId::parse(&number);
    if let Some(id) = id.filter(|_| change.rotates_secret) {
        vimeo_state.rotate_client_secret(id);
    }
    let Some(app) = id.and_then(|id| vimeo_state.app_by_id_mut(id)) else {
        return error_response(
            StatusCode::NOT_FOUND,
            "There is no app with this number; GET /_sandbox/apps lists them.",
        );
    };
    change.apply(app);
    json_response(StatusCode::OK, &present_app(app))
}

impl AppIn {
    fn apply(self, app: &mut App) {
        app.name = self.name.unwrap_or_else(|| app.name.clone());
        app.has_upload_access = self.upload_access.unwrap_or(app.has_upload_access);
        app.redirect_uris = self.redirect_uris.unwrap_or_else(|| app.redirect_uris.clone());
        app.is_deleted = self.deleted.unwrap_or(app.is_deleted);
    }
}

fn read_app(mut members: Members, known: &[&str]) -> Result<AppIn, String> {
    members.refuse_unknown("an app", known)?;
    let redirect_uris = members.texts("redirect_uris")?;
    for uri in redirect_uris.iter().flatten() {
        if let Some(problem) = redirects::problem(uri) {
            return Err(format!("The redirect URI `{uri}` {problem}."));
        }
    }
    Ok(AppIn {
        name: members.text("name")?,
        upload_access: members.boolean("upload_access")?,
        redirect_uris,
        rotates_secret: members.boolean("client_secret_rotated")?.unwrap_or(false),
        deleted: members.boolean("deleted")?,
    })
}

/// `GET /_sandbox/apps`.
pub(super) async fn list(State(app_state): State<Arc<AppState>>) -> Response {
    let apps: Vec<Value> = app_state.vimeo().list_apps().map(present_app).collect();
    json_response(StatusCode::OK, &json!({"apps": apps}))
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
        "deleted": app.is_deleted,
    })
}

/// `POST /_sandbox/codes`.
pub(super) async fn create_code(State(app_state): State<Arc<AppState>>, body: Body) -> Response {
    match members(body).await.and_then(|members| make_code(&app_state, members)) {
        Ok(shown) => json_response(StatusCode::CREATED, &shown),
        Err(sentence) => error_response(StatusCode::BAD_REQUEST, &sentence),
    }
}

fn make_code(app_state: &AppState, mut members: Members) -> Result<Value, String> {
    members.refuse_unknown("a code", &["app", "redirect_uri", "scopes", "user", "state"])?;
    let named =
        members.text("app")?.ok_or("A code needs an `app`: a client id, or a URI such as /apps/1.")?;
    let redirect_uri = members.text("redirect_uri")?;
    let scopes = read_scopes(members.take("scopes"))?;
    let user = read_token_user(members.take_even_null("user"))?;
    let state = members.text("state")?;

    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo();
    let app = find_live_app(&vimeo_state, &named)?;
    let back = RedirectTarget {
        is_named: redirect_uri.is_some(),
        redirect_uri: choose_redirect(&app, redirect_uri)?,
        state: state.map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect()),
    };
    let user = user.resolve(&mut vimeo_state, app.owner)?;
    let user = user.ok_or("A code needs a `user`: only users allow anything.")?;
    let code = vimeo_state.add_code(Consent { app: app.id, user, scopes }, &back, now);
    let location = redirects::location(&back, ParameterLocation::Query, &[("code", &code)]);
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
