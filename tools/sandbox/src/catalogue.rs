//! Vimeo's catalogues of ratings, licences and languages, and the tutorial endpoint.

mod languages;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api_request::{ApiRequest, HandlerResult};
use crate::fields::Fields;
use crate::lists;

pub(crate) use languages::{LANGUAGES, is_language, language_name};

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
pub(crate) async fn content_ratings(request: ApiRequest) -> HandlerResult {
    request.caller()?;
    let item = |(code, name): &(&str, &str), _: &Fields| json!({"code": code, "name": name, "uri": format!("/contentratings/{code}")});
    lists::answer(&request, CONTENT_RATINGS.iter().collect::<Vec<_>>(), item)
}

/// `GET /creativecommons`.
pub(crate) async fn licenses(request: ApiRequest) -> HandlerResult {
    request.caller()?;
    let item = |(code, name): &(&str, &str), _: &Fields| json!({"code": code, "name": name, "uri": format!("/creativecommons/{code}")});
    lists::answer(&request, LICENSES.iter().collect::<Vec<_>>(), item)
}

/// `GET /languages`.
pub(crate) async fn languages(request: ApiRequest) -> HandlerResult {
    request.caller()?;
    let item = |(code, name): &(&str, &str), _: &Fields| json!({"code": code, "name": name});
    lists::answer(&request, LANGUAGES.iter().collect::<Vec<_>>(), item)
}

/// `GET /tutorial`.
pub(crate) async fn tutorial(request: ApiRequest) -> HandlerResult {
    let caller = request.caller()?;
    let shown: Value = json!({
        "message": "Success! You just interacted with the Vimeo API.",
        "next_steps_link": "https://developer.vimeo.com/api/guides/start",
        "token_is_authenticated": caller.user.is_some(),
    });
    Ok(request.present(StatusCode::OK, "application/json", shown))
}
