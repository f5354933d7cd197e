//! The handlers of jobs: reading, listing and cancelling uploads.

use app::JobFilter;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use domain::id::ConnectionId;
use domain::job::JobId;
use domain::page::PageLimit;

use super::connections::path_param;
use super::job::{JobOut, JobsOut};
use crate::Shared;
use crate::auth::Authenticated;
use crate::error::{Code, Problem};
use crate::openapi;
use crate::page_key::{PageKey, page_key_text};
use crate::query::{NoQuery, Query};
use crate::replay::json_with_capacity;

/// Approximate size of a job in JSON.
const JOB_BYTES: usize = 640;

/// List uploads
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/jobs", operation_id = "list_jobs", tag = "Uploads",
    params(openapi::JobsQuery),
    responses(
        (status = 200, description = "A page.", body = JobsOut,
            links(
                ("next" = (operation_id = "list_jobs", parameters(("nextPageKey" = "$response.body#/nextPageKey")))),
            ),
        ),
        openapi::ListErrors,
    ),
)]
pub(crate) async fn list_jobs(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::new(query.as_deref());
    let limit = query.parsed("limit", PageLimit::parse).unwrap_or(PageLimit::MAX);
    let page_key = PageKey::from_query(&mut query);
    let connection = query.optional("connectionId");
    query.finish_strict()?;
    let before = page_key.decode(|bytes| shared.app.read_job_page_key(&caller, bytes))?;
    let (items, next) = match connection.as_deref().map(ConnectionId::parse) {
        // An invalid ID matches no connection.
        Some(None) => (Vec::new(), None),
        connection_id => {
            let filter = JobFilter { connection_id: connection_id.flatten(), before };
            let page = shared.app.list_jobs(&caller, &filter, limit).await?;
            (page.items, page.next)
        }
    };
    let next_page_key = next.map(|bytes| page_key_text(&bytes));
    let page = JobsOut { items: items.iter().map(JobOut::from).collect(), next_page_key };
    Ok(json_with_capacity((page.items.len() + 1) * JOB_BYTES, &page))
}

/// Get a job
#[utoipa::path(
    get, path = "/v1/jobs/{jobId}", operation_id = "get_job", tag = "Uploads",
    params(openapi::JobIdPath),
    responses(
        (status = 200, description = "The job.", body = JobOut,
            links(
                ("cancel" = (operation_id = "cancel_job", parameters(("jobId" = "$response.body#/job_id")))),
            ),
        ),
        openapi::GetJobErrors,
    ),
)]
pub(crate) async fn get_job(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let job = shared.app.find_job(&caller, &job_id(id)?).await?;
    Ok(Json(JobOut::from(&job)).into_response())
}

/// Cancel an upload
///
/// Whatever the upload created at Vimeo is deleted afterwards. A job that has ended does not change.
#[utoipa::path(
    delete, path = "/v1/jobs/{jobId}", operation_id = "cancel_job", tag = "Uploads",
    params(openapi::JobIdPath),
    responses((status = 204, description = "The upload was cancelled or had already ended."), openapi::CancelErrors),
)]
pub(crate) async fn cancel_job(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    shared.app.cancel_upload(&caller, &job_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The job in the path. An invalid ID is not found.
pub(super) fn job_id(id: Result<Path<String>, PathRejection>) -> Result<JobId, Problem> {
    JobId::parse(&path_param(id)).ok_or_else(|| Code::JobNotFound.into())
}
