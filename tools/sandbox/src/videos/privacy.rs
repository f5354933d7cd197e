//! Where a video may be embedded, and how its player looks: domains and presets.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::own_video;
use super::settings::is_domain;
use crate::ask::{Answered, Ask, Refusal, Whose, refuse};
use crate::desk::Desk;
use crate::errors::{self, no_content};
use crate::lists;
use crate::state::{DOMAINS_MAX, PresetId, User, Video};

const PRESET: &str = "application/vnd.vimeo.preset+json";

/// `GET /videos/{video}/privacy/domains`.
pub(crate) async fn list_domains(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    ask.user_with("private")?;
    let id = ask.video()?;
    let world = desk.world();
    let video = own_video(&world, &ask)?;
    check_whitelist(video)?;
    let domains: Vec<&String> = video.settings.domains.iter().collect();
    lists::answer(&ask, domains, |domain, _| {
        let uri = format!("{id}/privacy/domains/{domain}");
        json!({"uri": uri, "domain": domain, "allow_hd": true})
    })
}

/// `PUT /videos/{video}/privacy/domains/{domain}`.
pub(crate) async fn add_domain(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    ask.user_with("edit")?;
    let id = ask.video()?;
    let domain = ask.parameter("domain").unwrap_or_default().to_ascii_lowercase();
    let mut world = desk.world();
    check_whitelist(own_video(&world, &ask)?)?;
    let added = world.edit_video(id, |video| {
        let domains = &mut video.settings.domains;
        if !is_domain(&domain) {
            return Err(refuse("domain", 2204, "must have neither scheme nor path"));
        }
        if domains.len() >= DOMAINS_MAX && !domains.contains(&domain) {
            return Err(refuse("domain", 2204, "is one too many: a video has 50 at most"));
        }
        domains.insert(domain);
        Ok(no_content())
    });
    added.ok_or_else(errors::missing_resource)?
}

/// `DELETE /videos/{video}/privacy/domains/{domain}`.
pub(crate) async fn remove_domain(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    ask.user_with("edit")?;
    let id = ask.video()?;
    let domain = ask.parameter("domain").unwrap_or_default().to_ascii_lowercase();
    let mut world = desk.world();
    check_whitelist(own_video(&world, &ask)?)?;
    if world.edit_video(id, |video| video.settings.domains.remove(&domain)) == Some(true) {
        Ok(no_content())
    } else {
        Err(errors::missing_resource().into())
    }
}

fn check_whitelist(video: &Video) -> Result<(), Refusal> {
    if video.settings.privacy.embed == "whitelist" {
        return Ok(());
    }
    let text = "The video's privacy.embed is not whitelist.";
    Err(errors::legacy(StatusCode::FORBIDDEN, text).into())
}

/// `GET /me/presets` and `GET /users/{user}/presets`.
pub(crate) async fn list_presets(ask: Ask) -> Answered {
    let user = preset_owner(&ask)?;
    lists::answer(&ask, user.presets.clone(), |preset, _| present(user, preset))
}

/// `GET /me/presets/{preset}` and `GET /users/{user}/presets/{preset}`.
pub(crate) async fn show_preset(ask: Ask) -> Answered {
    let user = preset_owner(&ask)?;
    let preset = preset_of(&ask, user)?;
    Ok(ask.present(StatusCode::OK, PRESET, present(user, preset)))
}

fn preset_owner(ask: &Ask) -> Result<&User, Refusal> {
    let (_, user) = ask.user_with("private")?;
    match ask.owner(user)? {
        Whose::Own => Ok(user),
        Whose::Others(_) => Err(errors::missing_resource().into()),
    }
}

fn preset_of(ask: &Ask, user: &User) -> Result<PresetId, Refusal> {
    let found = ask.parameter("preset").and_then(PresetId::parse);
    found.filter(|preset| user.presets.contains(preset)).ok_or_else(|| errors::missing_resource().into())
}

/// `GET /videos/{video}/presets/{preset}`: 204 if the video's player looks like this.
pub(crate) async fn show_preset_of_video(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = ask.user_with("private")?;
    let preset = preset_of(&ask, user)?;
    let world = desk.world();
    if own_video(&world, &ask)?.preset == Some(preset) {
        Ok(no_content())
    } else {
        Err(errors::missing_resource().into())
    }
}

/// `PUT /videos/{video}/presets/{preset}`.
pub(crate) async fn set_preset(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = ask.user_with("edit")?;
    let (id, preset) = (ask.video()?, preset_of(&ask, user)?);
    let mut world = desk.world();
    own_video(&world, &ask)?;
    world.edit_video(id, |video| video.preset = Some(preset));
    Ok(no_content())
}

/// `DELETE /videos/{video}/presets/{preset}`.
pub(crate) async fn remove_preset(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let (_, user) = ask.user_with("edit")?;
    let (id, preset) = (ask.video()?, preset_of(&ask, user)?);
    let mut world = desk.world();
    if own_video(&world, &ask)?.preset != Some(preset) {
        return Err(errors::missing_resource().into());
    }
    world.edit_video(id, |video| video.preset = None);
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
