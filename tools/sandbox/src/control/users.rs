//! The controls for users: their plans and quotas.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::members::Members;
use super::{error_response, json_response, members};
use crate::app_state::AppState;
use crate::state::{Feature, Period, Quota, QuotaLimit, Unit, User, UserId};
use crate::users::present_quota;

const MEMBERS: [&str; 11] = [
    "name",
    "plan",
    "requests_per_minute",
    "email_verified",
    "folders",
    "refused_views",
    "allowed_privacies",
    "shows_allowed_privacies",
    "cold_privacy",
    "refused_features",
    "quota",
];

/// `GET /_sandbox/users`.
pub(super) async fn list(State(app_state): State<Arc<AppState>>) -> Response {
    let users: Vec<User> = app_state.vimeo().list_users().cloned().collect();
    let users: Vec<Value> = users.iter().map(|user| present(&app_state, user)).collect();
    json_response(StatusCode::OK, &json!({"users": users}))
}

/// `POST /_sandbox/users`.
pub(super) async fn create(State(app_state): State<Arc<AppState>>, body: Body) -> Response {
    let change = match members(body).await.and_then(read) {
        Ok(change) => change,
        Err(sentence) => return error_response(StatusCode::BAD_REQUEST, &sentence),
    };
    let user = {
        let mut vimeo_state = app_state.vimeo();
        let id = vimeo_state.add_user("Another User".to_owned()).id;
        vimeo_state.find_user_mut(id).map(|user| {
            change.apply(user);
            user.clone()
        })
    };
    match user {
        Some(user) => json_response(StatusCode::CREATED, &present(&app_state, &user)),
        None => error_response(StatusCode::NOT_FOUND, "There is no such user."),
    }
}

/// `PATCH /_sandbox/users/{number}`.
pub(super) async fn edit(
    State(app_state): State<Arc<AppState>>,
    Path(number): Path<String>,
    body: Body,
) -> Response {
    let change = match members(body).await.and_then(read) {
        Ok(change) => change,
        Err(sentence) => return error_response(StatusCode::BAD_REQUEST, &sentence),
    };
    let user = UserId::parse(&number).and_then(|id| {
        let mut vimeo_state = app_state.vimeo();
        let user = vimeo_state.find_user_mut(id)?;
        change.apply(user);
        Some(user.clone())
    });
    match user {
        Some(user) => json_response(StatusCode::OK, &present(&app_state, &user)),
        None => {
            error_response(StatusCode::NOT_FOUND, "There is no such user; GET /_sandbox/users lists them.")
        }
    }
}

/// The changes to make. An absent member changes nothing.
#[expect(clippy::option_option, reason = "absent, null and a value mean different things")]
struct Change {
    name: Option<String>,
    plan: Option<Option<crate::Plan>>,
    requests_per_minute: Option<Option<u64>>,
    has_verified_email: Option<bool>,
    may_manage_folders: Option<bool>,
    refused_views: Option<Vec<String>>,
    allowed_privacies: Option<Option<Vec<String>>>,
    shows_allowed_privacies: Option<bool>,
    has_cold_privacy: Option<bool>,
    refused_features: Option<Vec<Feature>>,
    quota: Option<Option<Quota>>,
}

impl Change {
    fn apply(self, user: &mut User) {
        user.name = self.name.unwrap_or_else(|| user.name.clone());
        user.plan = self.plan.unwrap_or(user.plan);
        user.requests_per_minute = self.requests_per_minute.unwrap_or(user.requests_per_minute);
        user.has_verified_email = self.has_verified_email.unwrap_or(user.has_verified_email);
        user.may_manage_folders = self.may_manage_folders.unwrap_or(user.may_manage_folders);
        user.refused_views = self.refused_views.unwrap_or_else(|| user.refused_views.clone());
        user.has_cold_privacy = self.has_cold_privacy.unwrap_or(user.has_cold_privacy);
        user.refused_features = self.refused_features.unwrap_or_else(|| user.refused_features.clone());
        let shown = &mut user.allowed_privacies;
        shown.views = self.allowed_privacies.unwrap_or_else(|| shown.views.clone());
        shown.is_shown = self.shows_allowed_privacies.unwrap_or(shown.is_shown);
        user.quota = self.quota.unwrap_or_else(|| user.quota.clone());
    }
}

fn read(mut members: Members) -> Result<Change, String> {
    members.refuse_unknown("a user", &MEMBERS)?;
    let plan = match members.take_even_null("plan") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(Value::String(name)) => {
            Some(Some(name.parse().map_err(|unknown| format!("`plan`: {unknown}, or null."))?))
        }
        Some(_) => return Err("`plan` must be a string, or null.".to_owned()),
    };
    let quota = match members.take_even_null("quota") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(Value::Object(quota)) => Some(Some(read_quota(quota)?)),
        Some(_) => return Err("`quota` must be an object, or null.".to_owned()),
    };
    Ok(Change {
        name: members.text("name")?,
        plan,
        requests_per_minute: members.number_or_null("requests_per_minute")?,
        has_verified_email: members.boolean("email_verified")?,
        may_manage_folders: members.boolean("folders")?,
        refused_views: members.texts("refused_views")?,
        allowed_privacies: members.texts_or_null("allowed_privacies")?,
        shows_allowed_privacies: members.boolean("shows_allowed_privacies")?,
        has_cold_privacy: members.boolean("cold_privacy")?,
        refused_features: members.texts("refused_features")?.map(read_features).transpose()?,
        quota,
    })
}

fn read_features(names: Vec<String>) -> Result<Vec<Feature>, String> {
    let known = || Feature::ALL.map(Feature::name).join(", ");
    let feature = |name: String| {
        let found = Feature::ALL.into_iter().find(|feature| feature.name() == name);
        found.ok_or_else(|| format!("There is no feature `{name}`; what there is: {}.", known()))
    };
    names.into_iter().map(feature).collect()
}

fn read_quota(members: Map<String, Value>) -> Result<Quota, String> {
    let mut members = Members::from(members);
    members.refuse_unknown("a `quota`", &["unit", "lifetime", "periodic", "period", "restricted"])?;
    let unit = match members.text("unit")?.as_deref() {
        None | Some("size") => Unit::Size,
        Some("count") => Unit::Count,
        Some(_) => return Err("`unit` must be size or count.".to_owned()),
    };
    let period = match members.text("period")? {
        None => Period::Week,
        Some(name) => Period::ALL
            .into_iter()
            .find(|period| period.name() == name)
            .ok_or("`period` must be week, month, year or lifetime.")?,
    };
    let lifetime = read_bound(&mut members, "lifetime")?;
    let periodic = read_bound(&mut members, "periodic")?.map(|bound| (period, bound));
    let restricted = read_bound(&mut members, "restricted")?;
    Ok(Quota { unit, lifetime, periodic, restricted })
}

fn read_bound(members: &mut Members, name: &str) -> Result<Option<QuotaLimit>, String> {
    let text = || format!("`{name}` must be {{\"max\", \"used\"?}}, with whole numbers; `max` may be null.");
    match members.take(name) {
        None => Ok(None),
        Some(Value::Object(bound)) => {
            let mut bound = Members::from(bound);
            bound.refuse_unknown(&format!("`{name}`"), &["max", "used"])?;
            let max = match bound.take_even_null("max").ok_or_else(text)? {
                Value::Null => None,
                value => Some(value.as_u64().ok_or_else(text)?),
            };
            Ok(Some(QuotaLimit { max, used_before: bound.number("used")?.unwrap_or(0) }))
        }
        Some(_) => Err(text()),
    }
}

fn present(app_state: &AppState, user: &User) -> Value {
    let plan = app_state.rate_limits().plan(user);
    let vimeo_state = app_state.vimeo();
    json!({
        "uri": user.id.to_string(),
        "number": user.id.number(),
        "name": user.name,
        "account": plan.name(),
        "plan": user.plan.map(crate::Plan::name),
        "requests_per_minute": user.requests_per_minute,
        "email_verified": user.has_verified_email,
        "folders": user.may_manage_folders,
        "refused_views": user.refused_views,
        "allowed_privacies": user.allowed_privacies.views,
        "shows_allowed_privacies": user.allowed_privacies.is_shown,
        "cold_privacy": user.has_cold_privacy,
        "refused_features": user.refused_features.iter().map(|feature| feature.name()).collect::<Vec<_>>(),
        "upload_quota": present_quota(&vimeo_state, user),
        "videos": vimeo_state.videos_of(user.id).len(),
    })
}
