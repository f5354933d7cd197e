//! The page on which a user allows or denies an app's request.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use crate::pages::{self, presentable};
use crate::scopes::{self, Scopes};
use crate::state::{App, Page, VimeoState};

const NAME_MAX_CHARACTERS: usize = 80;
const SCOPE_MAX_CHARACTERS: usize = 40;
const UNKNOWN_SHOWN_MAX: usize = 12;

/// The recipient of the decision.
pub(super) enum Destination {
    /// The redirect URI.
    Browser(String),
    /// The user code, as the device shows it.
    Device(String),
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage {
    app_name: String,
    app_uri: String,
    ticket: String,
    destination: Destination,
    users: Vec<UserChoice>,
    scopes: Vec<ScopeChoice>,
    has_more_than_public: bool,
    unknown: Vec<String>,
    more_unknown: usize,
}

struct UserChoice {
    number: u64,
    uri: String,
    name: String,
}

struct ScopeChoice {
    name: String,
    meaning: &'static str,
    needs_private: bool,
}

/// What the template needs besides the page.
pub(super) struct Shown<'a> {
    pub(super) app: &'a App,
    pub(super) ticket: String,
    pub(super) destination: Destination,
    /// Requested scopes that Vimeo does not have.
    pub(super) unknown: &'a [String],
}

/// Renders the page.
pub(super) fn render(vimeo_state: &VimeoState, page: &Page, shown: Shown<'_>) -> Response {
    let Shown { app, ticket, destination, unknown } = shown;
    let template = ConsentPage {
        app_name: presentable(&app.name, NAME_MAX_CHARACTERS),
        app_uri: app.id.to_string(),
        ticket,
        destination,
        users: users(vimeo_state, app),
        has_more_than_public: page.scopes.names().any(|name| name != "public"),
        scopes: choices(&page.scopes),
        unknown: unknown
            .iter()
            .take(UNKNOWN_SHOWN_MAX)
            .map(|name| presentable(name, SCOPE_MAX_CHARACTERS))
            .collect(),
        more_unknown: unknown.len().saturating_sub(UNKNOWN_SHOWN_MAX),
    };
    pages::page(StatusCode::OK, &template)
}

fn choices(scopes: &Scopes) -> Vec<ScopeChoice> {
    let choice = |name: &str| ScopeChoice {
        name: name.to_owned(),
        meaning: scopes::meaning(name),
        needs_private: name != "public" && name != "private",
    };
    scopes.names().map(choice).collect()
}

/// Every user, the app's owner first.
fn users(vimeo_state: &VimeoState, app: &App) -> Vec<UserChoice> {
    let mut users: Vec<_> = vimeo_state.list_users().collect();
    users.sort_by_key(|user| user.id != app.owner);
    let choice = |user: &crate::state::User| UserChoice {
        number: user.id.number(),
        uri: user.id.to_string(),
        name: presentable(&user.name, NAME_MAX_CHARACTERS),
    };
    users.into_iter().map(choice).collect()
}
