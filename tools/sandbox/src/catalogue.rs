//! What Vimeo offers to choose from, and the page that newcomers ask for first.

mod languages;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::ask::{Answered, Ask};
use crate::fields::Fields;
use crate::lists;

pub(crate) use languages::{LANGUAGES, is_language};

/// Content ratings by code. `advertisement` is newer than the others.
pub(crate) const CONTENT_RATINGS: [(&str, &str); 7] = [
    ("advertisement", "Contains advertisement"),
    ("drugs", "Drug / alcohol use"),
    ("language", "Profanity / sexually suggestive content"),
    ("nudity", "Nudity"),
    ("safe", "All audiences"),
    ("unrated", "Not yet rated"),
    ("violence", "Violence"),
];

/// Licences by code.
pub(crate) const LICENSES: [(&str, &str); 7] = [
    ("by", "Attribution"),
    ("by-nc", "Attribution Non-Commercial"),
    ("by-nc-nd", "Attribution Non-Commercial No Derivatives"),
    ("by-nc-sa", "Attribution Non-Commercial Share Alike"),
    ("by-nd", "Attribution No Derivatives"),
    ("by-sa", "Attribution Share Alike"),
    ("cc0", "Public Domain Dedication"),
];

/// `GET /contentratings`.
pub(crate) async fn content_ratings(ask: Ask) -> Answered {
    ask.caller()?;
    let item = |(code, name): &(&str, &str), _: &Fields| json!({"code": code, "name": name, "uri": format!("/contentratings/{code}")});
    lists::answer(&ask, CONTENT_RATINGS.iter().collect::<Vec<_>>(), item)
}

/// `GET /creativecommons`.
pub(crate) async fn licenses(ask: Ask) -> Answered {
    ask.caller()?;
    let item = |(code, name): &(&str, &str), _: &Fields| json!({"code": code, "name": name, "uri": format!("/creativecommons/{code}")});
    lists::answer(&ask, LICENSES.iter().collect::<Vec<_>>(), item)
}

/// `GET /languages`.
pub(crate) async fn languages(ask: Ask) -> Answered {
    ask.caller()?;
    let item = |(code, name): &(&str, &str), _: &Fields| json!({"code": code, "name": name});
    lists::answer(&ask, LANGUAGES.iter().collect::<Vec<_>>(), item)
}

/// `GET /tutorial`.
pub(crate) async fn tutorial(ask: Ask) -> Answered {
    let caller = ask.caller()?;
    let shown: Value = json!({
        "message": "Success! You just interacted with the Vimeo API.",
        "next_steps_link": "https://developer.vimeo.com/api/guides/start",
        "token_is_authenticated": caller.user.is_some(),
    });
    Ok(ask.present(StatusCode::OK, "application/json", shown))
}
