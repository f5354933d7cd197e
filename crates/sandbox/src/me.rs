//! Users, and what `GET /me` says of the one who asks.

use axum::Extension;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::errors;
use crate::fields;
use crate::http::Visitor;
use crate::state::{Caller, User};

const USER: &str = "application/vnd.vimeo.user+json";

// Five tebibytes: more than any test fills.
const SPACE_MAX_BYTES: u64 = 5 << 40;
const SPACE_USED_BYTES: u64 = 734_003_200;

/// `GET /me`: the user of the token.
pub(crate) async fn show(
    Extension(Visitor(caller)): Extension<Visitor>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(caller) = caller else { return errors::no_credentials() };
    let Some(user) = &caller.user else { return errors::no_user() };
    let mut shown = present(user, &caller);
    if let Value::Object(shown) = &mut shown {
        // Absent, not null, for apps that may not upload; that is how a client tells.
        if caller.app.has_upload_access {
            shown.insert("upload_quota".to_owned(), quota());
        }
        if caller.token.scopes.contains("email") {
            shown.insert("email".to_owned(), json!(format!("user{}@example.com", user.id.number())));
        }
    }
    if let Some(paths) = fields::requested(query.as_deref()) {
        shown = fields::pick(&shown, &paths);
    }
    errors::answer(StatusCode::OK, USER, &shown)
}

/// A user as they stand in `/me` and beside a token.
pub(crate) fn present(user: &User, caller: &Caller) -> Value {
    let number = user.id.number();
    let uri = user.id.to_string();
    json!({
        "uri": uri,
        "name": user.name,
        "link": format!("https://vimeo.com/user{number}"),
        "account": caller.plan.name(),
        "bio": null,
        "short_bio": null,
        "location": "",
        "gender": "",
        "created_time": "2019-04-01T08:30:00+00:00",
        "resource_key": format!("{number:040x}"),
        "content_filter": ["language", "drugs", "violence", "nudity", "safe", "unrated"],
        "websites": [],
        "pictures": {"uri": null, "active": false, "type": "default", "sizes": []},
        "metadata": {"connections": {
            "videos": {"uri": format!("{uri}/videos"), "options": ["GET", "POST"], "total": 0},
            "folders": {"uri": format!("{uri}/folders"), "options": ["GET", "POST"], "total": 0},
        }},
        "preferences": {"videos": {
            "rating": ["safe"],
            "privacy": {"view": "password", "embed": "public", "comments": "anybody", "download": false, "add": true},
            // Vimeo gives this away in clear text to whoever does not use `fields`. A test may search for it where it
            // must never be found.
            "password": "sandbox-default-video-password",
        }},
    })
}

fn quota() -> Value {
    json!({
        "space": {
            "free": SPACE_MAX_BYTES - SPACE_USED_BYTES,
            "max": SPACE_MAX_BYTES,
            "used": SPACE_USED_BYTES,
            "showing": "lifetime",
            "unit": "video_size",
        },
        "periodic": {"free": null, "max": null, "used": null, "period": null, "reset_date": null, "unit": null},
        "lifetime": {
            "free": SPACE_MAX_BYTES - SPACE_USED_BYTES,
            "max": SPACE_MAX_BYTES,
            "used": SPACE_USED_BYTES,
            "unit": "video_size",
        },
    })
}
