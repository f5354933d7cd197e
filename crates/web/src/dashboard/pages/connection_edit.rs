//! Changing the name, the description and the availability of a connection.

use app::Error;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use domain::audit::Action;
use domain::connection::{Availability, Connection, ConnectionChange, Description, DescriptionChange};
use domain::scope::Scope;

use super::super::errors::PageError;
use super::super::form::Form;
use super::super::messages as m;
use super::super::respond::{Notice, page, redirect_with, rejected};
use super::super::views::connection_forms::{Conflict, EditConnectionPage};
use super::super::views::parts::Errors;
use super::super::views::shell::Section;
use super::super::visit::{Submission, Visit};
use super::connection::{SentId, description_text, find, find_to_change};
use super::{connection_fields as fields, present_connections as present};
use crate::Shared;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/dashboard/connections/{id}/edit", get(form).post(save))
}

async fn form(State(shared): State<Shared>, id: SentId, visit: Visit) -> Result<Response, PageError> {
    visit.require(Scope::ConnectionsWrite)?;
    let connection = find(&shared, &visit.person.caller, id).await?;
    Ok(page(&EditConnectionPage {
        shell: visit.shell(Section::Connections),
        href: present::href(&connection.id),
        title: connection.name.as_str().to_owned(),
        version: connection.version.to_string(),
        name: connection.name.as_str().to_owned(),
        description: description_text(&connection),
        is_enabled: connection.availability.is_enabled(),
        errors: Errors::default(),
        conflicts: Vec::new(),
    }))
}

async fn save(State(shared): State<Shared>, id: SentId, sent: Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    let caller = &visit.person.caller;
    let connection = find_to_change(&shared, visit, Action::UpdateConnection, id).await?;
    let version = fields::version(form)?;
    let change = match read_change(form, version) {
        Ok(change) => change,
        Err(errors) => return Ok(rejected(&again(visit, form, &connection, version, errors))),
    };
    let saved = Ok(redirect_with(&present::href(&connection.id), Notice::ConnectionSaved));
    match shared.app.update_connection(caller, connection.id.as_str(), change.clone()).await {
        Ok(_) => saved,
        Err(Error::VersionConflict { .. }) => {
            let current = shared.app.find_connection(caller, &connection.id).await?;
            let conflicts = conflicts(&current, &change);
            // Somebody else stored the same values.
            if conflicts.is_empty() {
                return saved;
            }
            let view = again(visit, form, &current, current.version, Errors::default());
            Ok(rejected(&EditConnectionPage { conflicts, ..view }))
        }
        Err(error) => Ok(rejected(&again(visit, form, &connection, version, fields::refusal(error)?))),
    }
}

fn read_change(form: &Form, version: u64) -> Result<ConnectionChange, Errors> {
    let mut errors = Errors::default();
    let name = fields::name(form, &mut errors);
    let description = fields::description(form, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(ConnectionChange {
        name,
        description: description.map_or(DescriptionChange::Clear, DescriptionChange::Replace),
        availability: Some(Availability::from_enabled(form.is_checked(fields::ENABLED))),
        ..ConnectionChange::none(version)
    })
}

/// The fields in which what is stored now differs from what was entered.
fn conflicts(current: &Connection, change: &ConnectionChange) -> Vec<Conflict> {
    let availability = |availability: Availability| match availability {
        Availability::Enabled => m::ENABLED,
        Availability::Disabled => m::DISABLED,
    };
    let description = |description: Option<&Description>| {
        description.map_or(m::NO_DESCRIPTION, |description| description.as_str()).to_owned()
    };
    let mut found = Vec::new();
    let mut compare = |label: &str, theirs: String, yours: String| {
        if theirs != yours {
            found.push(Conflict { label: label.to_owned(), theirs, yours });
        }
    };
    if let Some(name) = &change.name {
        compare(m::NAME, current.name.as_str().to_owned(), name.as_str().to_owned());
    }
    let theirs = description(current.description.as_ref());
    match &change.description {
        DescriptionChange::Keep => {}
        DescriptionChange::Clear => compare(m::DESCRIPTION, theirs, description(None)),
        DescriptionChange::Replace(yours) => compare(m::DESCRIPTION, theirs, description(Some(yours))),
    }
    if let Some(yours) = change.availability {
        compare(m::STATE, availability(current.availability).to_owned(), availability(yours).to_owned());
    }
    found
}

fn again(
    visit: &Visit,
    form: &Form,
    connection: &Connection,
    version: u64,
    errors: Errors,
) -> EditConnectionPage {
    EditConnectionPage {
        shell: visit.shell(Section::Connections),
        href: present::href(&connection.id),
        title: connection.name.as_str().to_owned(),
        version: version.to_string(),
        name: form.raw(fields::NAME).to_owned(),
        description: fields::entered_description(form),
        is_enabled: form.is_checked(fields::ENABLED),
        errors,
        conflicts: Vec::new(),
    }
}
