//! Users: the caller and others.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api_request::{ApiRequest, HandlerResult, PathOwner};
use crate::app_state::AppState;
use crate::errors;
use crate::limits::Plan;
use crate::state::{App, Period, Quota, QuotaLimit, Token, Unit, User, UserId, VimeoState};

const USER: &str = "application/vnd.vimeo.user+json";

/// `GET /me` and `GET /users/{user}`.
pub(crate) async fn show(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let caller = request.caller()?;
    let whose = match (request.parameter("user"), &caller.user) {
        (None, _) => PathOwner::Caller,
        (Some(_), Some(user)) => request.owner(user)?,
        // A token without a user sees public data.
        (Some(text), None) => PathOwner::Other(UserId::parse(text).ok_or_else(errors::missing_resource)?),
    };
    let shown = match whose {
        PathOwner::Other(id) => {
            let user = app_state.vimeo().find_user(id).cloned().ok_or_else(errors::missing_resource)?;
            let plan = app_state.rate_limits().plan(&user);
            present_public(&user, plan)
        }
        PathOwner::Caller => {
            let (caller, user) = request.user()?;
            let plan = app_state.rate_limits().plan(user);
            present_own(&app_state.vimeo(), (&caller.token, &caller.app), user, plan)
        }
    };
    Ok(request.present(StatusCode::OK, USER, shown))
}

/// A user's own view, in `/me` and beside a token.
pub(crate) fn present_own(
    vimeo_state: &VimeoState,
    (token, app): (&Token, &App),
    user: &User,
    plan: Plan,
) -> Value {
    let mut shown = present(vimeo_state, user, plan);
    if let Value::Object(shown) = &mut shown {
        // Absent, not null, for apps without upload access; clients rely on that.
        if app.has_upload_access {
            shown.insert("upload_quota".to_owned(), present_quota(vimeo_state, user));
        }
        if token.scopes.contains("email") {
            shown.insert("email".to_owned(), json!(format!("user{}@example.com", user.id.number())));
        }
    }
    shown
}

fn present(vimeo_state: &VimeoState, user: &User, plan: Plan) -> Value {
    let mut shown = present_public(user, plan);
    let uri = user.id.to_string();
    let videos = vimeo_state.videos_of(user.id).len();
    let folders = vimeo_state.list_folders().filter(|folder| folder.owner == user.id).count();
    if let Value::Object(shown) = &mut shown {
        let connection = |path: &str, total: usize| json!({"uri": format!("{uri}/{path}"), "options": ["GET", "POST"], "total": total});
        shown.insert(
            "metadata".to_owned(),
            json!({"connections": {
                "videos": connection("videos", videos),
                "folders": connection("folders", folders),
                "projects": connection("projects", folders),
                "presets": {
                    "uri": format!("{uri}/presets"),
                    "options": ["GET"],
                    "total": user.presets.len(),
                },
            }}),
        );
        let preferences = json!({"videos": {
            "rating": ["safe"],
            "privacy": {"view": "password", "embed": "public", "comments": "anybody", "download": false, "add": true},
            // Vimeo returns this in clear text unless `fields` is used. A test can search for it where it must not
            // appear.
            "password": "sandbox-default-video-password",
        }});
        shown.insert("preferences".to_owned(), preferences);
    }
    shown
}

/// A user as others see them, and as in videos.
pub(crate) fn present_public(user: &User, plan: Plan) -> Value {
    let number = user.id.number();
    json!({
        "uri": user.id.to_string(),
        "name": user.name,
        "link": format!("https://vimeo.com/user{number}"),
        "account": plan.name(),
        "bio": null,
        "short_bio": null,
        "location": "",
        "gender": "",
        "created_time": "2019-04-01T08:30:00+00:00",
        "resource_key": format!("{number:040x}"),
        "content_filter": ["language", "drugs", "violence", "nudity", "safe", "unrated"],
        "websites": [],
        "pictures": {"uri": null, "active": false, "type": "default", "sizes": []},
    })
}

/// The quota, in the format of its kind. What Vimeo does not show is null.
pub(crate) fn present_quota(vimeo_state: &VimeoState, user: &User) -> Value {
    let nothing = |unit: Value| json!({"free": null, "max": null, "used": null, "unit": unit});
    let Some(quota) = &user.quota else {
        let space = json!({"free": null, "max": null, "used": null, "showing": null, "unit": null});
        return json!({"space": space, "periodic": with(nothing(Value::Null), &periodic(None)), "lifetime": nothing(Value::Null)});
    };
    let pools = vimeo_state.used_by(user.id, quota);
    let unit = json!(match quota.unit {
        Unit::Size => "video_size",
        Unit::Count => "video_count",
    });
    let numbers = |bound: &QuotaLimit, used: u64| {
        let spent = bound.used_before.saturating_add(used);
        let free = bound.max.map(|max| max.saturating_sub(spent));
        json!({"free": free, "max": bound.max, "used": spent, "unit": unit})
    };
    let lifetime = quota.lifetime.as_ref().map(|bound| numbers(bound, pools.general));
    let period = quota.periodic.as_ref().map(|(_, bound)| numbers(bound, pools.general));
    let free = |numbers: &Option<Value>| numbers.as_ref().and_then(|numbers| numbers.get("free")?.as_u64());
    // The smaller of the two is shown.
    let is_periodic = match (free(&period), free(&lifetime)) {
        (Some(period), Some(lifetime)) => period < lifetime,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => lifetime.is_none() && period.is_some(),
    };
    let (tighter, showing) = if is_periodic { (&period, "periodic") } else { (&lifetime, "lifetime") };
    let space = tighter.clone().unwrap_or_else(|| nothing(unit.clone()));
    let shown = json!({
        "space": with(space, &json!({"showing": showing})),
        "periodic": with(period.unwrap_or_else(|| nothing(Value::Null)), &periodic(Some(quota))),
        "lifetime": lifetime.unwrap_or_else(|| nothing(Value::Null)),
    });
    match &quota.restricted {
        Some(bound) => with(shown, &json!({"restricted": numbers(bound, pools.restricted)})),
        None => shown,
    }
}

/// The additional members of a periodic quota. No period ends in the sandbox.
fn periodic(quota: Option<&Quota>) -> Value {
    let period = quota.and_then(|quota| quota.periodic.as_ref()).map(|(period, _)| *period);
    let reset = period.filter(|period| *period != Period::Lifetime).map(|_| "2038-01-01T00:00:00+00:00");
    json!({"period": period.map(Period::name), "reset_date": reset})
}

fn with(mut value: Value, more: &Value) -> Value {
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more.clone());
    }
    value
}
