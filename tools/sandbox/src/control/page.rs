//! The dashboard at `/_sandbox/`. Scripts update it live; without them it is a static page.

mod rows;
mod switches;

use askama::Template;
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::Value;

use crate::app_state::AppState;
use crate::faults;
use crate::journal::Selection;
use crate::limits::Plan;
use crate::pages;
use crate::scopes::{self, Scopes};
use crate::state::{App, Token, User, Video};
use rows::{AppRow, EntryRow, FaultRow, TokenRow, UserRow, VideoRow};
use switches::{Switch, switches};

/// How many journal entries are shown without scripts.
const ENTRIES_SHOWN_MAX: usize = 50;
/// How many rows of each table are shown, so that the page stays small after a long test.
const ROWS_SHOWN_MAX: usize = 200;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    credentials: [(&'static str, String); 4],
    try_it: String,
    consent_link: Option<String>,
    switches: Vec<Switch>,
    kinds: &'static [(&'static str, &'static [&'static str])],
    faults: Vec<FaultRow>,
    entries: Vec<EntryRow>,
    videos: Vec<VideoRow>,
    apps: Vec<AppRow>,
    tokens: Vec<TokenRow>,
    users: Vec<UserRow>,
    hidden: HiddenCounts,
    scopes: Vec<(String, &'static str)>,
    plans: [&'static str; Plan::ALL.len()],
}

/// How many rows are not shown.
struct HiddenCounts {
    videos: usize,
    tokens: usize,
    apps: usize,
    users: usize,
}

/// Whether a client prefers HTML to JSON. Browsers name `text/html`; clients that accept anything do not.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let accepted = accepted.collect::<Vec<_>>().join(",").to_ascii_lowercase();
    let quality = |wanted: &str| {
        let ranges = accepted.split(',').map(|range| range.split(';').map(str::trim));
        let qualities = ranges.filter_map(|mut parts| {
            let is_it = parts.next() == Some(wanted);
            let named = parts.find_map(|parameter| parameter.strip_prefix("q=")?.trim().parse::<f32>().ok());
            is_it.then(|| named.unwrap_or(1.0))
        });
        qualities.fold(0.0, f32::max)
    };
    let (page, json) = (quality("text/html"), quality("application/json"));
    page > 0.0 && page > json
}

/// `GET /_sandbox/`, for a browser.
pub(super) fn show(app_state: &AppState) -> Response {
    let first = app_state.first_credentials();
    let base = &app_state.base_url;
    let faults = {
        let now = app_state.now();
        app_state.faults().show(now)
    };
    let journal = {
        let selection = Selection { limit: Some(ENTRIES_SHOWN_MAX), ..Selection::default() };
        app_state.journal().to_json(&selection)
    };
    let (faults, entries) = (list(&faults, "faults"), list(&journal, "requests"));
    let PageData { apps, tokens, users, videos, hidden } = vimeo(app_state);
    let template = DashboardPage {
        try_it: format!("curl -H 'Authorization: bearer {}' {base}/me?fields=uri,name", first.access_token),
        consent_link: consent_link(&apps, &first.client_id),
        credentials: [
            ("base URL", base.clone()),
            ("client id", first.client_id),
            ("client secret", first.client_secret),
            ("access token", first.access_token),
        ],
        switches: switches(faults),
        kinds: faults::kinds(),
        faults: faults.iter().map(FaultRow::of).collect(),
        entries: entries.iter().rev().map(EntryRow::of).collect(),
        tokens: tokens.iter().map(|token| TokenRow::of(token, &apps, &users)).collect(),
        videos: videos.iter().map(|video| VideoRow::of(video, &users)).collect(),
        users: users.iter().map(|seen| UserRow::of(app_state, seen)).collect(),
        apps: apps.iter().map(AppRow::of).collect(),
        hidden,
        scopes: Scopes::all().names().map(|name| (name.to_owned(), scopes::meaning(name))).collect(),
        plans: Plan::ALL.map(Plan::name),
    };
    let mut response = pages::scripted_page(StatusCode::OK, &template);
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// The data of the page, copied while the state is locked.
struct PageData {
    apps: Vec<App>,
    tokens: Vec<Token>,
    users: Vec<UserSummary>,
    videos: Vec<Video>,
    hidden: HiddenCounts,
}

/// A user with figures computed from the whole state.
struct UserSummary {
    user: User,
    quota: Value,
    videos: usize,
}

fn vimeo(app_state: &AppState) -> PageData {
    let vimeo_state = app_state.vimeo_now();
    let tokens = vimeo_state.list_tokens();
    let hidden = |count: usize| count.saturating_sub(ROWS_SHOWN_MAX);
    PageData {
        hidden: HiddenCounts {
            videos: hidden(vimeo_state.list_videos().len()),
            tokens: hidden(tokens.len()),
            apps: hidden(vimeo_state.list_apps().count()),
            users: hidden(vimeo_state.list_users().count()),
        },
        apps: vimeo_state.list_apps().take(ROWS_SHOWN_MAX).cloned().collect(),
        tokens: tokens.into_iter().rev().take(ROWS_SHOWN_MAX).cloned().collect(),
        users: vimeo_state
            .list_users()
            .take(ROWS_SHOWN_MAX)
            .map(|user| UserSummary::of(&vimeo_state, user))
            .collect(),
        videos: vimeo_state.list_videos().rev().take(ROWS_SHOWN_MAX).cloned().collect(),
    }
}

impl UserSummary {
    fn of(vimeo_state: &crate::state::VimeoState, user: &User) -> Self {
        Self {
            user: user.clone(),
            quota: crate::users::present_quota(vimeo_state, user),
            videos: vimeo_state.videos_of(user.id).len(),
        }
    }
}

/// The link that starts the authorization of the first app.
fn consent_link(apps: &[App], client_id: &str) -> Option<String> {
    let app = apps.iter().find(|app| app.client_id == client_id)?;
    let redirect_uri = app.redirect_uris.first()?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("scope", "public private upload edit")
        .finish();
    Some(format!("/oauth/authorize?{query}"))
}

fn list<'a>(shown: &'a Value, name: &str) -> &'a [Value] {
    shown.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A member as text: a string unchanged, empty if absent or null.
fn text(shown: &Value, name: &str) -> String {
    match shown.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_wants_the_page_and_a_program_does_not() {
        for (accept, is_page) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", true),
            ("text/html", true),
            ("TEXT/HTML; q=0.5", true),
            ("application/json;q=0.5, text/html", true),
            ("*/*", false),
            ("", false),
            ("application/json", false),
            ("application/json, text/html", false),
            ("application/json, text/html;q=0.9", false),
            ("text/html;q=0", false),
            ("text/*", false),
            ("text/htmlx;;q=nonsense,,", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(is_wanted(&headers), is_page, "{accept}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
