//! Deleting a connection, which cannot be undone.

use app::JobFilter;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use domain::audit::Action;
use domain::connection::{Connection, ConnectionName};
use domain::job::JobStatus;
use domain::page::PageLimit;
use domain::scope::Scope;

use super::super::errors::PageError;
use super::super::messages as m;
use super::super::respond::{Notice, number, page, redirect_with, rejected};
use super::super::views::connection_forms::DeleteConnectionPage;
use super::super::views::parts::Errors;
use super::super::views::shell::Section;
use super::super::visit::{Submission, Visit};
use super::connection::{SentId, find, find_to_change};
use super::{connection_fields as fields, connections, present_connections as present};
use crate::Shared;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/dashboard/connections/{id}/delete", get(form).post(delete))
}

fn path(connection: &Connection) -> String {
    format!("{}/delete", present::href(&connection.id))
}

async fn form(State(shared): State<Shared>, id: SentId, visit: Visit) -> Result<Response, PageError> {
    visit.require(Scope::ConnectionsWrite)?;
    let connection = find(&shared, &visit.person.caller, id).await?;
    visit.require_recent(&path(&connection))?;
    Ok(page(&view(&shared, &visit, &connection, Errors::default()).await?))
}

async fn delete(State(shared): State<Shared>, id: SentId, sent: Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    let connection = find_to_change(&shared, visit, Action::DeleteConnection, id).await?;
    visit.require_recent(&path(&connection))?;
    if !is_name(&connection, form.raw(fields::NAME)) {
        let mut errors = Errors::default();
        errors.add(fields::NAME, m::ERROR_DELETE_NAME);
        return Ok(rejected(&view(&shared, visit, &connection, errors).await?));
    }
    shared.app.delete_connection(&visit.person.caller, &connection.id).await?;
    Ok(redirect_with(connections::LIST, Notice::ConnectionDeleted))
}

/// Whether the name was typed exactly. Spaces at its ends cannot be seen.
fn is_name(connection: &Connection, typed: &str) -> bool {
    ConnectionName::parse(typed).is_ok_and(|typed| typed.unique_part() == connection.name.unique_part())
}

async fn view(
    shared: &Shared,
    visit: &Visit,
    connection: &Connection,
    errors: Errors,
) -> Result<DeleteConnectionPage, PageError> {
    Ok(DeleteConnectionPage {
        shell: visit.shell(Section::Connections),
        href: present::href(&connection.id),
        title: connection.name.as_str().to_owned(),
        running: running(shared, visit, connection).await?,
        errors,
    })
}

/// What happens to uploads in progress.
async fn running(shared: &Shared, visit: &Visit, connection: &Connection) -> Result<String, PageError> {
    if !visit.may(Scope::UploadsRead) {
        return Ok(String::new());
    }
    let filter = JobFilter {
        connection_id: Some(connection.id.clone()),
        status: Some(JobStatus::InProgress),
        ..JobFilter::default()
    };
    let jobs = shared.app.list_jobs(&visit.person.caller, &filter, PageLimit::MAX).await?;
    let count = number(jobs.items.len() as u64);
    Ok(match jobs.items.len() {
        0 => String::new(),
        1 => m::RUNNING_ONE.to_owned(),
        _ if jobs.next.is_some() => m::running_uploads_more(&count),
        _ => m::running_uploads(&count),
    })
}
