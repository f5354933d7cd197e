//! The handlers of jobs: reading, listing, cancelling and retrying uploads.

use app::{Error, JobFilter};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use domain::audit::Action;
use domain::id::ConnectionId;
use domain::job::{JobId, JobPhase, JobStatus};
use domain::page::PageLimit;
use domain::time::Timestamp;
use utoipa::IntoParams;

use super::connections::path_param;
use super::job::{JobOut, JobsOut};
use super::job_update::{JobUpdateIn, KEEP_UPDATE, read_job_update};
use super::upload::AcceptedUploadOut;
use crate::Shared;
use crate::auth::Authenticated;
use crate::body::{read_empty, read_object};
use crate::error::{Code, Problem};
use crate::openapi;
use crate::page_key::{PageKey, page_key_text};
use crate::query::{NoQuery, Query};
use crate::replay::{ReplayableResponse, json_with_capacity};

/// Approximate size of a job in JSON.
const JOB_BYTES: usize = 640;

/// Filters of a list of jobs.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct JobsQuery {
    /// Only jobs of this connection.
    #[param(rename = "connectionId", example = "20260131090500042k3v9x0q2m7t1b8z", nullable = false)]
    connection_id: Option<String>,
    /// Only jobs with this status: `in-progress`, `completed`, `failed` or `cancelled`.
    #[param(pattern = "^(in-progress|completed|failed|cancelled)$", example = "failed", nullable = false)]
    status: Option<String>,
    /// Only jobs in this phase.
    #[param(
        pattern = "^(queued|creating|uploading|configuring|transcoding|scheduled|publishing|cleaning_up|completed|failed|cancelled)$",
        example = "transcoding",
        nullable = false
    )]
    phase: Option<String>,
    /// Only jobs created at this time or later.
    #[param(rename = "createdAfter", format = DateTime, example = "2026-01-31T00:00:00Z", nullable = false)]
    created_after: Option<String>,
    /// Only jobs created before this time.
    #[param(rename = "createdBefore", format = DateTime, example = "2026-02-01T00:00:00Z", nullable = false)]
    created_before: Option<String>,
}

/// List uploads
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/jobs", operation_id = "list_jobs", tag = "Uploads",
    security(("apiKey" = ["uploads:read"])),
    params(openapi::PageQuery, JobsQuery),
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
    let status = query.parsed("status", JobStatus::parse);
    let phase = query.parsed("phase", JobPhase::parse);
    let created_from = query.parsed("createdAfter", Timestamp::parse);
    let created_until = query.parsed("createdBefore", Timestamp::parse);
    query.finish_strict()?;
    let before = page_key.decode(|bytes| shared.app.read_job_page_key(&caller, bytes))?;
    let (items, next) = match connection.as_deref().map(ConnectionId::parse) {
        // An invalid ID matches no connection.
        Some(None) => (Vec::new(), None),
        connection_id => {
            let connection_id = connection_id.flatten();
            let filter = JobFilter { connection_id, status, phase, created_from, created_until, before };
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
    security(("apiKey" = ["uploads:read"])),
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

/// Change when a video is published
///
/// Until the video is opened, its time can be changed, added or, with `null`, removed: then the video is opened as soon as
/// everything else is done. To keep it closed, cancel the job, which deletes the video.
#[utoipa::path(
    patch, path = "/v1/jobs/{jobId}", operation_id = "update_job", tag = "Uploads",
    security(("apiKey" = ["uploads:write"])),
    params(openapi::JobIdPath),
    request_body(content = JobUpdateIn, description = "The new time."),
    responses((status = 200, description = "The job.", body = JobOut), openapi::UpdateJobErrors),
)]
pub(crate) async fn update_job(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let object = read_object(request, KEEP_UPDATE).await?.object;
    let publish_at = read_job_update(object)?;
    let job = shared.app.reschedule_upload(&caller, &path_param(id), publish_at).await?;
    Ok(Json(JobOut::from(&job)).into_response())
}

/// Cancel an upload
///
/// Whatever the upload created at Vimeo is deleted afterwards. A job that has ended does not change.
#[utoipa::path(
    delete, path = "/v1/jobs/{jobId}", operation_id = "cancel_job", tag = "Uploads",
    security(("apiKey" = ["uploads:write"])),
    params(openapi::JobIdPath),
    responses((status = 204, description = "The upload was cancelled or had already ended."), openapi::CancelErrors),
)]
pub(crate) async fn cancel_job(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    shared.app.cancel_upload(&caller, &path_param(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Retry an upload
///
/// Queues a failed upload again as a new job with the same request, as long as the service keeps that request (7 days,
/// unless configured otherwise). A job can be retried once; the new job can be retried if it fails, too. A video that the
/// failed job left at Vimeo stays there. No body is needed; an empty object is accepted.
#[utoipa::path(
    post, path = "/v1/jobs/{jobId}/retry", operation_id = "retry_job", tag = "Uploads",
    security(("apiKey" = ["uploads:write"])),
    params(openapi::JobIdPath),
    responses(
        (status = 202, description = "A new job was queued.", body = AcceptedUploadOut,
            headers(("Location" = String, description = "The path of the new job.")),
            links(
                ("get" = (operation_id = "get_job", parameters(("jobId" = "$response.body#/data/jobId")))),
                ("watch" = (operation_id = "watch_job", parameters(("jobId" = "$response.body#/data/jobId")))),
                ("cancel" = (operation_id = "cancel_job", parameters(("jobId" = "$response.body#/data/jobId")))),
            ),
        ),
        openapi::RetryErrors,
    ),
)]
pub(crate) async fn retry_job(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    read_empty(request).await?;
    let id = JobId::parse(&path_param(id));
    let id = shared.app.well_formed(&caller, Action::RetryUpload, id, Error::JobNotFound).await?;
    let retry = shared.app.retry_upload(&caller, &id).await?;
    Ok(ReplayableResponse::upload_accepted(&shared.settings.base_path, &retry).into_response())
}

/// The job in the path. An invalid ID is not found.
pub(super) fn job_id(id: Result<Path<String>, PathRejection>) -> Result<JobId, Problem> {
    JobId::parse(&path_param(id)).ok_or_else(|| Code::JobNotFound.into())
}
