//! The page at `/_sandbox/`: what is on the desk, as a person sees it. Scripts make it live; without them it shows the
//! same and stands still.

mod rows;
mod switches;

use askama::Template;
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::Value;

use crate::desk::Desk;
use crate::faults;
use crate::journal::Selection;
use crate::limits::Plan;
use crate::pages;
use crate::scopes::{self, Scopes};
use crate::state::{App, Token, User, Video};
use rows::{AppRow, EntryRow, FaultRow, TokenRow, UserRow, VideoRow};
use switches::{Switch, switches};

/// What of the journal is shown without scripts.
const ENTRIES_SHOWN_MAX: usize = 50;
/// Of each table, lest a long test make a page that nobody can load.
const ROWS_SHOWN_MAX: usize = 200;

#[derive(Template)]
#[template(path = "desk.html")]
struct DeskPage {
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
    hidden: Hidden,
    scopes: Vec<(String, &'static str)>,
    plans: [&'static str; Plan::ALL.len()],
}

/// How many are there beside those that are shown.
struct Hidden {
    videos: usize,
    tokens: usize,
    apps: usize,
    users: usize,
}

/// Whether a client would rather have a page than JSON. Browsers name `text/html`; whoever takes anything does not.
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
pub(super) fn show(desk: &Desk) -> Response {
    let first = desk.first_credentials();
    let base = &desk.base_url;
    let faults = {
        let now = desk.now();
        desk.faults().show(now)
    };
    let journal = {
        let selection = Selection { limit: Some(ENTRIES_SHOWN_MAX), ..Selection::default() };
        desk.journal().to_json(&selection)
    };
    let (faults, entries) = (list(&faults, "faults"), list(&journal, "requests"));
    let World { apps, tokens, users, videos, hidden } = world(desk);
    let template = DeskPage {
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
        users: users.iter().map(|seen| UserRow::of(desk, seen)).collect(),
        apps: apps.iter().map(AppRow::of).collect(),
        hidden,
        scopes: Scopes::all().names().map(|name| (name.to_owned(), scopes::meaning(name))).collect(),
        plans: Plan::ALL.map(Plan::name),
    };
    let mut response = pages::scripted_page(StatusCode::OK, &template);
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// What is read of the world while it is locked: as much as is shown, and no more.
struct World {
    apps: Vec<App>,
    tokens: Vec<Token>,
    users: Vec<SeenUser>,
    videos: Vec<Video>,
    hidden: Hidden,
}

/// A user, with what only the whole world tells of them.
struct SeenUser {
    user: User,
    quota: Value,
    videos: usize,
}

fn world(desk: &Desk) -> World {
    let world = desk.world_by_now();
    let tokens = world.list_tokens();
    let hidden = |count: usize| count.saturating_sub(ROWS_SHOWN_MAX);
    World {
        hidden: Hidden {
            videos: hidden(world.list_videos().len()),
            tokens: hidden(tokens.len()),
            apps: hidden(world.list_apps().count()),
            users: hidden(world.list_users().count()),
        },
        apps: world.list_apps().take(ROWS_SHOWN_MAX).cloned().collect(),
        tokens: tokens.into_iter().rev().take(ROWS_SHOWN_MAX).cloned().collect(),
        users: world.list_users().take(ROWS_SHOWN_MAX).map(|user| SeenUser::of(&world, user)).collect(),
        videos: world.list_videos().rev().take(ROWS_SHOWN_MAX).cloned().collect(),
    }
}

impl SeenUser {
    fn of(world: &crate::state::World, user: &User) -> Self {
        Self {
            user: user.clone(),
            quota: crate::users::present_quota(world, user),
            videos: world.videos_of(user.id).len(),
        }
    }
}

/// Where a browser begins to ask a user for the first app.
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

/// A member as text: a string as it is, nothing for what is absent or null.
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
