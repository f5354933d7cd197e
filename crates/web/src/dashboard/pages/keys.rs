//! API keys: the list, creating, renaming, rotating and revoking them.

use std::time::Duration;

use app::{Error, KeyOptions, NewApiKey, RotateOptions};
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use domain::account::Label;
use domain::api_key::{ApiKey, Creator, KeyStatus};
use domain::audit::Action;
use domain::id::ApiKeyId;
use domain::page::PageLimit;
use domain::scope::{Scope, Scopes};

use super::super::errors::PageError;
use super::super::form::Form;
use super::super::messages as m;
use super::super::respond::{Notice, html, number, page, redirect_with, rejected, when};
use super::super::views::keys::{
    KeyCreatedPage, KeyForm, KeyPage, KeyRow, KeysPage, RevokeKeyPage, key_scopes,
};
use super::super::views::parts::{Badge, Errors, Tone};
use super::super::views::shell::Section;
use super::super::visit::{Submission, Visit};
use super::paging::{pager, position};
use crate::Shared;

/// The length of what identifies a form.
const FORM_ID_LEN: usize = 64;
/// Keys on a page.
const PAGE: PageLimit = PageLimit::of(100);
/// How long a rotated key stays valid unless said otherwise.
const DEFAULT_OVERLAP_HOURS: u64 = 24;
const MAX_OVERLAP_HOURS: u64 = 720;
const MAX_DAYS: u32 = 36_500;
const LIST: &str = "/dashboard/keys";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dashboard/keys", get(list).post(create))
        .route("/dashboard/keys/{id}", get(show))
        .route("/dashboard/keys/{id}/rename", post(rename))
        .route("/dashboard/keys/{id}/rotate", post(rotate))
        .route("/dashboard/keys/{id}/revoke", get(ask_revoke).post(revoke))
}

async fn list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::KeysManage)?;
    let request_id = shared.app.random_cookie();
    let form = KeyForm { request_id, scopes: offered(&visit, None), ..KeyForm::default() };
    Ok(page(&list_view(&shared, &visit, query.as_deref(), form).await?))
}

async fn list_view(
    shared: &Shared,
    visit: &Visit,
    query: Option<&str>,
    form: KeyForm,
) -> Result<KeysPage, PageError> {
    let caller = &visit.person.caller;
    let after = position(query, |bytes| shared.app.read_api_key_page_key(caller, bytes))?;
    let found = shared.app.list_api_key_page(caller, after.as_ref(), PAGE).await?;
    let rows: Vec<_> = found.items.iter().map(|(key, status)| row(key, *status)).collect();
    let is_all = after.is_none() && found.next.is_none();
    Ok(KeysPage {
        shell: visit.shell(Section::Keys),
        count: if is_all { m::key_count(&number(rows.len() as u64)) } else { String::new() },
        pager: pager(LIST, query, found.next.as_deref()),
        rows,
        confirm_href: (!visit.person.is_recent).then(|| "/dashboard/confirm?next=/dashboard/keys".to_owned()),
        form: Some(form),
    })
}

async fn create(State(shared): State<Shared>, sent: Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    require(&shared, visit, Action::CreateApiKey, None).await?;
    visit.require_recent(LIST)?;
    let options = match read_options(form) {
        Ok(options) => options,
        Err(errors) => return rejected_list(&shared, &sent, errors).await,
    };
    match shared.app.create_api_key_once(&visit.person.caller, options, form_id(form)?).await {
        Ok(Some(new)) => Ok(created(&shared, visit, &new, None)),
        Ok(None) => Ok(redirect_with(LIST, Notice::KeyFormSentBefore)),
        Err(Error::ExpiryBeyondCreator) => {
            let mut errors = Errors::default();
            errors.add("expiresInDays", m::ERROR_EXPIRY_BEYOND_SESSION);
            rejected_list(&shared, &sent, errors).await
        }
        Err(error) => Err(error.into()),
    }
}

/// What identifies a form that creates something that is shown once.
pub(super) fn form_id(form: &Form) -> Result<&str, PageError> {
    let id = form.text("requestId");
    if id.len() == FORM_ID_LEN { Ok(id) } else { Err(PageError::BadRequest) }
}

async fn rejected_list(shared: &Shared, sent: &Submission, errors: Errors) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = sent;
    let chosen: Vec<_> = form.all("scopes").collect();
    let form = KeyForm {
        request_id: shared.app.random_cookie(),
        name: form.text("name").to_owned(),
        scopes: offered(visit, Some(&chosen)),
        expires_in_days: form.text("expiresInDays").to_owned(),
        errors,
    };
    Ok(rejected(&list_view(shared, visit, None, form).await?))
}

/// The scopes that the person may give: their own. At first, all but the management of keys are chosen.
fn offered(visit: &Visit, chosen: Option<&[&str]>) -> Vec<super::super::views::parts::Choice> {
    let allowed: Vec<_> = visit.person.caller.scopes.iter().map(Scope::as_str).collect();
    let usual: Vec<_> =
        allowed.iter().copied().filter(|scope| *scope != Scope::KeysManage.as_str()).collect();
    key_scopes(&allowed, chosen.unwrap_or(&usual))
}

async fn show(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::KeysManage)?;
    Ok(page(&key_view(&shared, &visit, &id, Errors::default()).await?))
}

async fn key_view(shared: &Shared, visit: &Visit, id: &str, errors: Errors) -> Result<KeyPage, PageError> {
    let id = ApiKeyId::parse(id).ok_or(PageError::NotFound)?;
    let (key, status) = shared.app.find_own_api_key(&visit.person.caller, &id).await?;
    Ok(KeyPage {
        shell: visit.shell(Section::Keys),
        key: row(&key, status),
        id: key.id.to_string(),
        name: key.name.to_string(),
        request_id: shared.app.random_cookie(),
        overlap_hours: String::new(),
        expires_in_days: String::new(),
        errors,
        can_manage: true,
    })
}

async fn rename(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    require(&shared, visit, Action::RenameApiKey, Some(&id)).await?;
    let name = match Label::parse(form.raw("name")) {
        Ok(name) => name,
        Err(error) => {
            let mut errors = Errors::default();
            errors.add("name", m::broken_rule(m::SUBJECT_NAME, &error.to_string()));
            let view = key_view(&shared, visit, &id, errors).await?;
            return Ok(rejected(&KeyPage { name: form.text("name").to_owned(), ..view }));
        }
    };
    let parsed = ApiKeyId::parse(&id).ok_or(PageError::NotFound)?;
    shared.app.rename_api_key(&visit.person.caller, &parsed, name).await?;
    Ok(redirect_with(&format!("{LIST}/{id}"), Notice::KeyRenamed))
}

async fn rotate(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    require(&shared, visit, Action::RotateApiKey, Some(&id)).await?;
    let parsed = ApiKeyId::parse(&id).ok_or(PageError::NotFound)?;
    visit.require_recent(&format!("{LIST}/{id}"))?;
    let options = match read_rotation(form) {
        Ok(options) => options,
        Err(errors) => {
            let view = key_view(&shared, visit, &id, errors).await?;
            return Ok(rejected(&KeyPage {
                overlap_hours: form.text("overlapHours").to_owned(),
                expires_in_days: form.text("expiresInDays").to_owned(),
                ..view
            }));
        }
    };
    let caller = &visit.person.caller;
    let new = match shared.app.rotate_api_key_once(caller, &parsed, (options, form_id(form)?)).await {
        Ok(Some(new)) => new,
        Ok(None) => return Ok(redirect_with(LIST, Notice::KeyFormSentBefore)),
        Err(Error::ExpiryBeyondCreator) => {
            let mut errors = Errors::default();
            errors.add("expiresInDays", m::ERROR_EXPIRY_BEYOND_SESSION);
            return Ok(rejected(&key_view(&shared, visit, &id, errors).await?));
        }
        Err(error) => return Err(error.into()),
    };
    let (old, _) = shared.app.find_own_api_key(caller, &parsed).await?;
    Ok(created(&shared, visit, &new, old.expires_at.map(when)))
}

async fn ask_revoke(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::KeysManage)?;
    Ok(page(&revoke_view(&shared, &visit, &id, Errors::default()).await?))
}

async fn revoke_view(
    shared: &Shared,
    visit: &Visit,
    id: &str,
    errors: Errors,
) -> Result<RevokeKeyPage, PageError> {
    let KeyPage { shell, key, .. } = key_view(shared, visit, id, Errors::default()).await?;
    let KeyRow { href, name, last_four, last_used, .. } = key;
    Ok(RevokeKeyPage { shell, href, name, last_four, last_used, errors })
}

async fn revoke(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    let visit = &sent.visit;
    require(&shared, visit, Action::RevokeApiKey, Some(&id)).await?;
    let parsed = ApiKeyId::parse(&id).ok_or(PageError::NotFound)?;
    match shared.app.revoke_api_key(&visit.person.caller, &parsed).await {
        Ok(_) => Ok(redirect_with(LIST, Notice::KeyRevoked)),
        Err(Error::LastManagingKey) => {
            let errors = Errors { general: m::ERROR_LAST_KEY.to_owned(), fields: Vec::new() };
            Ok(html(StatusCode::CONFLICT, &revoke_view(&shared, visit, &id, errors).await?))
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses a change by a person who may not manage keys, and audits it.
async fn require(
    shared: &Shared,
    visit: &Visit,
    action: Action,
    id: Option<&String>,
) -> Result<(), PageError> {
    let subject = id.filter(|id| ApiKeyId::parse(id).is_some()).cloned();
    visit.require_to_change(shared, Scope::KeysManage, (action, subject)).await
}

/// The page that shows a new key, this once.
fn created(
    shared: &Shared,
    visit: &Visit,
    new: &NewApiKey,
    old_until: Option<super::super::views::parts::When>,
) -> Response {
    let key = new.plain.expose().to_owned();
    let path = format!("{}/v1/whoami", shared.settings.base_path);
    let url = shared.settings.public_url.as_ref().map_or_else(|| path.clone(), |url| url.join(&path));
    let curl = format!("curl -H 'Authorization: {key}' {url}");
    let name = new.key.name.to_string();
    page(&KeyCreatedPage { shell: visit.shell(Section::Keys), name, key, curl, old_until })
}

fn row(key: &ApiKey, status: KeyStatus) -> KeyRow {
    let scopes = key.scopes();
    KeyRow {
        href: format!("{LIST}/{}", key.id),
        name: key.name.to_string(),
        last_four: key.last_four.clone(),
        status: status_badge(status),
        scopes: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        has_all_scopes: scopes == Scopes::ALL,
        creator: match key.grant.as_ref().map(|grant| &grant.creator) {
            None | Some(Creator::Operator) => m::ACTOR_OPERATOR.to_owned(),
            Some(Creator::ApiKey(id)) => id.to_string(),
            Some(Creator::Person(name)) => name.to_string(),
        },
        created: when(key.created_at),
        expires: key.expires_at.map(when),
        last_used: key.last_used_at.map(when),
        is_active: status == KeyStatus::Active,
    }
}

fn status_badge(status: KeyStatus) -> Badge {
    let (tone, text) = match status {
        KeyStatus::Active => (Tone::Good, m::KEY_ACTIVE),
        KeyStatus::Expired => (Tone::Muted, m::KEY_EXPIRED),
        KeyStatus::Revoked => (Tone::Muted, m::KEY_REVOKED),
        KeyStatus::Tampered => (Tone::Bad, m::KEY_TAMPERED),
    };
    Badge { tone, text: text.to_owned() }
}

fn read_options(form: &Form) -> Result<KeyOptions, Errors> {
    let mut errors = Errors::default();
    let name = Label::parse(form.raw("name"));
    if let Err(error) = &name {
        errors.add("name", m::broken_rule(m::SUBJECT_NAME, &error.to_string()));
    }
    let scopes: Result<Scopes, _> = form.all("scopes").map(Scope::parse).collect();
    let scopes = scopes.ok().filter(|scopes| *scopes != Scopes::NONE);
    if scopes.is_none() {
        errors.add("scopes", m::ERROR_NO_SCOPES);
    }
    let days = read_days(form, &mut errors);
    match (name, scopes) {
        (Ok(name), Some(scopes)) if errors.is_empty() => {
            Ok(KeyOptions { name, scopes, expires_in_days: days })
        }
        _ => Err(errors),
    }
}

fn read_rotation(form: &Form) -> Result<RotateOptions, Errors> {
    let mut errors = Errors::default();
    let hours = match form.text("overlapHours") {
        "" => Some(DEFAULT_OVERLAP_HOURS),
        text => text.parse().ok().filter(|hours| *hours <= MAX_OVERLAP_HOURS),
    };
    if hours.is_none() {
        errors.add("overlapHours", m::ERROR_HOURS);
    }
    let expires_in_days = read_days(form, &mut errors);
    let overlap = Duration::from_hours(hours.unwrap_or_default());
    if errors.is_empty() { Ok(RotateOptions { overlap, expires_in_days }) } else { Err(errors) }
}

/// A number of days, if one was entered.
fn read_days(form: &Form, errors: &mut Errors) -> Option<u32> {
    let text = form.text("expiresInDays");
    if text.is_empty() {
        return None;
    }
    let days = text.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days));
    if days.is_none() {
        errors.add("expiresInDays", m::ERROR_DAYS);
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn form(body: &str) -> Form {
        let request = axum::extract::Request::post("/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(axum::body::Body::from(body.to_owned()))
            .unwrap();
        Form::read(request).await.ok().unwrap()
    }

    #[tokio::test]
    async fn every_error_of_a_new_key_is_shown_at_its_field() {
        let names = async |body: &str| match read_options(&form(body).await) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        };
        assert_eq!(names("name=ci&scopes=uploads%3Aread&expiresInDays=30").await, [""; 0]);
        assert_eq!(names("name=ci&scopes=uploads%3Aread").await, [""; 0]);
        assert_eq!(
            names("name=+&scopes=no%3Ascope&expiresInDays=0").await,
            ["name", "scopes", "expiresInDays"]
        );
        assert_eq!(names("name=ci").await, ["scopes"]);
        for days in ["-1", "1.5", "36501", "x"] {
            assert_eq!(
                names(&format!("name=ci&scopes=audit%3Aread&expiresInDays={days}")).await,
                ["expiresInDays"]
            );
        }
    }

    #[tokio::test]
    async fn a_rotation_overlaps_by_a_day_unless_said_otherwise() {
        let read = async |body: &str| {
            read_rotation(&form(body).await).ok().map(|read| (read.overlap, read.expires_in_days))
        };
        assert_eq!(read("").await, Some((Duration::from_hours(24), None)));
        assert_eq!(read("overlapHours=0&expiresInDays=7").await, Some((Duration::ZERO, Some(7))));
        assert_eq!(read("overlapHours=720").await, Some((Duration::from_hours(720), None)));
        for bad in ["overlapHours=721", "overlapHours=x", "overlapHours=1&expiresInDays=0"] {
            assert_eq!(read(bad).await, None, "{bad}");
        }
    }
}
