//! Uploads over HTTP: asking for them.

use app::{Once, RequestedSource};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::connections::{reported, text_of};
use super::upload::{AcceptedUploadOut, NewUploadIn, UploadLinkOut};
use super::upload_body::{Rules, WEBHOOK_INPUT, read_upload};
use crate::Shared;
use crate::answer::{Answer, first_or_repeated};
use crate::auth::Authenticated;
use crate::body::{ObjectBody, read_object_keeping};
use crate::error::Problem;
use crate::headers::idempotency_key;
use crate::openapi;

/// Upload a video
///
/// With `source.url` the service fetches the file and sends it to Vimeo; the answer names the job. With `source.size` the
/// answer has a link besides, shown this once, to which the client sends the bytes itself by the tus protocol, straight
/// to Vimeo. Either way the video is closed to everybody until it is as it was asked for.
#[utoipa::path(
    post, path = "/v1/vimeo-connections/{connectionId}/uploads", operation_id = "create_upload", tag = "Uploads",
    params(openapi::ConnectionIdPath, openapi::IdempotencyKeyHeader),
    request_body(content = NewUploadIn, description = "What is uploaded, and what is to become of it; 64 KiB at most."),
    responses(
        (status = 202, description = "The service fetches the file.", body = AcceptedUploadOut,
            headers(
                ("Location" = String, description = "The path of the job."),
                ("X-Ignored-Fields" = String, description = "Names of fields that were ignored."),
                ("Idempotent-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same `Idempotency-Key`."),
            ),
            links(
                ("get" = (operation_id = "get_job", parameters(("jobId" = "$response.body#/data/jobId")))),
                ("watch" = (operation_id = "watch_job", parameters(("jobId" = "$response.body#/data/jobId")))),
                ("cancel" = (operation_id = "cancel_job", parameters(("jobId" = "$response.body#/data/jobId")))),
            ),
        ),
        (status = 201, description = "The client sends the bytes to the link.", body = UploadLinkOut,
            headers(
                ("Location" = String, description = "The path of the job."),
                ("X-Ignored-Fields" = String, description = "Names of fields that were ignored."),
                ("Idempotent-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same `Idempotency-Key`."),
            ),
            links(
                ("get" = (operation_id = "get_job", parameters(("jobId" = "$response.body#/data/jobId")))),
                ("watch" = (operation_id = "watch_job", parameters(("jobId" = "$response.body#/data/jobId")))),
                ("cancel" = (operation_id = "cancel_job", parameters(("jobId" = "$response.body#/data/jobId")))),
            ),
        ),
        openapi::UploadRefusals,
    ),
)]
pub(crate) async fn create_upload(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let ObjectBody { bytes, object } = read_object_keeping(request, &[WEBHOOK_INPUT]).await?;
    let (app, connection) = (&shared.app, text_of(id));
    let (upload, ignored) = read_upload(
        object,
        &Rules {
            check_address: &|text| app.check_address(text),
            unknown: shared.settings.unknown_fields,
            connection: &connection,
        },
    );
    let base_path = &shared.settings.base_path;
    let create = async || {
        let upload = upload?;
        let key = idempotency_key(&headers)?;
        let body = &bytes[..];
        match upload.source {
            RequestedSource::Url(_) => {
                let answer = |job: &_| Answer::upload_accepted(base_path, job, &ignored);
                let present = |job: &_| answer(job).to_kept();
                let once = key.map(|key| Once { key, body, present: &present });
                first_or_repeated(app.create_upload(&caller, &connection, upload, once).await?, answer)
            }
            RequestedSource::Client { .. } => {
                let answer = |made: &_| Answer::upload_link(base_path, made, &ignored);
                let present = |made: &_| answer(made).to_kept();
                let once = key.map(|key| Once { key, body, present: &present });
                first_or_repeated(app.create_upload_link(&caller, &connection, upload, once).await?, answer)
            }
        }
    };
    // A good answer names the ignored fields itself: one that is repeated, those that were ignored at first.
    create().await.or_else(|problem| Ok(reported(Err(problem), &ignored)))
}
