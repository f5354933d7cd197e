//! Uploads: the list, one upload, and starting one.

mod connections;
mod detail;
mod events;
mod facts;
mod file;
mod filter;
mod form;
mod list;
mod new;
mod present;
mod watch;

use app::{Caller, Error};
use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::routing::{get, post};
use domain::job::{Job, JobId};

use super::super::errors::PageError;
use super::super::respond::when;
use super::super::views::connection::BriefUpload;
use crate::Shared;

/// An upload, as the page of its connection shows it.
pub(super) async fn brief(shared: &Shared, caller: &Caller, job: &Job) -> Result<BriefUpload, Error> {
    let settings = list::find_settings(shared, caller, job).await?;
    Ok(BriefUpload {
        href: present::href(&job.id),
        name: present::name(job, settings.as_ref()),
        phase: present::badge(job),
        created: when(job.created_at),
    })
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dashboard/uploads", get(list::list_page))
        .route("/dashboard/uploads/events", get(events::watch_list))
        .route("/dashboard/uploads/cancel", post(list::cancel_uploads))
        .route("/dashboard/uploads/new", get(new::new_page).post(new::create))
        .route("/dashboard/uploads/from-computer", post(file::create_link))
        .route("/dashboard/uploads/{jobId}", get(detail::detail_page))
        .route("/dashboard/uploads/{jobId}/events", get(events::watch_upload))
        .route("/dashboard/uploads/{jobId}/cancel", post(detail::cancel))
        .route("/dashboard/uploads/{jobId}/retry", post(detail::retry))
}

/// The job in a path. A malformed ID is not found.
fn job_id(id: Result<Path<String>, PathRejection>) -> Result<JobId, PageError> {
    id.ok().and_then(|Path(id)| JobId::parse(&id)).ok_or(PageError::NotFound)
}
