//! Embedding of videos: domains and player presets.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::own_video;
use super::settings::is_domain;
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult, PathOwner, invalid_field};
use crate::app_state::AppState;
use crate::errors::{self, no_content};
use crate::lists;
use crate::state::{DOMAINS_MAX, Feature, PresetId, User, Video};

const PRESET: &str = "application/vnd.vimeo.preset+json";

/// `GET /videos/{video}/privacy/domains`.
pub(crate) async fn list_domains(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("private")?;
    let id = request.video()?;
    let vimeo_state = app_state.vimeo();
    let video = own_video(&vimeo_state, &request)?;
    check_whitelist(video)?;
    let domains: Vec<&String> = video.settings.domains.iter().collect();
    lists::answer(&request, domains, |domain, _| {
        let uri = format!("{id}/privacy/domains/{domain}");
        json!({"uri": uri, "domain": domain, "allow_hd": true})
    })
}

/// `PUT /videos/{video}/privacy/domains/{domain}`.
pub(crate) async fn add_domain(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    request.user_with("edit")?;
    let id = request.video()?;
    let domain = request.parameter("domain").unwrap_or_default().to_ascii_lowercase();
    let mut vimeo_state = app_state.vimeo();
    check_whitelist(own_video(&vimeo_state, &request)?)?;
    let added = vimeo_state.edit_video(id, |video| {
        let domains = &mut video.settings.domains;
        if !is_domain(&domain) {
            return Err(invalid_field("domain", 2204, "must have neither scheme nor path"));
        }
        if domains.len() >= DOMAINS_MAX && !domains.contains(&domain) {
            return Err(invalid_field("domain", 2204, "is one too many: a video has 50 at most"));
        }
        domains.insert(domain);
        Ok(no_content())
    });
    added.ok_or_else(errors::missing_resource)?
}

/// `DELETE /videos/{video}/privacy/domains/{domain}`.
pub(crate) async fn remove_domain(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    request.user_with("edit")?;
    let id = request.video()?;
    let domain = request.parameter("domain").unwrap_or_default().to_ascii_lowercase();
    let mut vimeo_state = app_state.vimeo();
    check_whitelist(own_video(&vimeo_state, &request)?)?;
    if vimeo_state.edit_video(id, |video| video.settings.domains.remove(&domain)) == Some(true) {
        Ok(no_content())
    } else {
        Err(errors::missing_resource().into())
    }
}

fn check_whitelist(video: &Video) -> Result<(), ErrorResponse> {
    if video.settings.privacy.embed == "whitelist" {
        return Ok(());
    }
    let text = "The video's privacy.embed is not whitelist.";
    Err(errors::legacy(StatusCode::FORBIDDEN, text).into())
}

/// `GET /me/presets` and `GET /users/{user}/presets`.
pub(crate) async fn list_presets(request: ApiRequest) -> HandlerResult {
    let user = preset_owner(&request)?;
    lists::answer(&request, user.presets.clone(), |preset, _| present(user, preset))
}

/// `GET /me/presets/{preset}` and `GET /users/{user}/presets/{preset}`.
pub(crate) async fn show_preset(request: ApiRequest) -> HandlerResult {
    let user = preset_owner(&request)?;
    let preset = preset_of(&request, user)?;
    Ok(request.present(StatusCode::OK, PRESET, present(user, preset)))
}

fn preset_owner(request: &ApiRequest) -> Result<&User, ErrorResponse> {
    let (_, user) = request.user_with("private")?;
    match request.owner(user)? {
        PathOwner::Caller => Ok(user),
        PathOwner::Other(_) => Err(errors::missing_resource().into()),
    }
}

fn preset_of(request: &ApiRequest, user: &User) -> Result<PresetId, ErrorResponse> {
    let found = request.parameter("preset").and_then(PresetId::parse);
    found.filter(|preset| user.presets.contains(preset)).ok_or_else(|| errors::missing_resource().into())
}

/// `GET /videos/{video}/presets/{preset}`: 204 if the video has this preset.
pub(crate) async fn show_preset_of_video(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let (_, user) = request.user_with("private")?;
    let preset = preset_of(&request, user)?;
    let vimeo_state = app_state.vimeo();
    if own_video(&vimeo_state, &request)?.preset == Some(preset) {
        Ok(no_content())
    } else {
        Err(errors::missing_resource().into())
    }
}

/// `PUT /videos/{video}/presets/{preset}`.
pub(crate) async fn set_preset(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let (_, user) = request.user_for("edit", Feature::Presets)?;
    let (id, preset) = (request.video()?, preset_of(&request, user)?);
    let mut vimeo_state = app_state.vimeo();
    own_video(&vimeo_state, &request)?;
    vimeo_state.edit_video(id, |video| video.preset = Some(preset));
    Ok(no_content())
}

/// `DELETE /videos/{video}/presets/{preset}`.
pub(crate) async fn remove_preset(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let (_, user) = request.user_with("edit")?;
    let (id, preset) = (request.video()?, preset_of(&request, user)?);
    let mut vimeo_state = app_state.vimeo();
    if own_video(&vimeo_state, &request)?.preset != Some(preset) {
        return Err(errors::missing_resource().into());
    }
    vimeo_state.edit_video(id, |video| video.preset = None);
    Ok(no_content())
}

fn present(user: &User, preset: PresetId) -> Value {
    let place = user.presets.iter().position(|known| *known == preset).unwrap_or_default();
    json!({
        "uri": format!("{}/presets/{}", user.id, preset.number()),
        "name": format!("Preset {}", place + 1),
        "settings": {"buttons": {"like": place == 0, "share": true}},
    })
}
