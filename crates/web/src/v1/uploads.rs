//! The handler that creates uploads.

use app::{IdempotentRequest, RequestedSource};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::connections::path_param;
use super::upload::{AcceptedUploadOut, NewUploadIn, UploadLinkOut};
use super::upload_body::{Rules, read_upload};
use super::upload_fields::KEEP;
use crate::Shared;
use crate::auth::Authenticated;
use crate::body::{ObjectBody, read_object};
use crate::error::Problem;
use crate::headers::idempotency_key;
use crate::openapi;
use crate::query::reject_query;
use crate::replay::{ReplayableResponse, fresh_or_replayed};

/// Upload a video
///
/// With `source.url` the service fetches the file and sends it to Vimeo; the response contains the job. With
/// `source.size` the response also contains a link, returned only once, to which the client sends the bytes itself by
/// the tus protocol, straight to Vimeo. Either way the video stays private until all its settings are applied. Unknown
/// fields are errors at every level: a misspelt privacy setting never publishes a video.
#[utoipa::path(
    post, path = "/v1/vimeo-connections/{connectionId}/uploads", operation_id = "create_upload", tag = "Uploads",
    security(("apiKey" = ["uploads:write"])),
    params(openapi::ConnectionIdPath, openapi::IdempotencyKeyHeader),
    request_body(content = NewUploadIn, description = "The source and the settings of the video; 64 KiB at most."),
    responses(
        (status = 202, description = "The service fetches the file.", body = AcceptedUploadOut,
            headers(
                ("Location" = String, description = "The path of the job."),
                ("Idempotent-Replayed" = String, description = "`true` if this is the response to an earlier request with the same `Idempotency-Key`."),
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
                ("Idempotent-Replayed" = String, description = "`true` if this is the response to an earlier request with the same `Idempotency-Key`."),
            ),
            links(
                ("get" = (operation_id = "get_job", parameters(("jobId" = "$response.body#/data/jobId")))),
                ("watch" = (operation_id = "watch_job", parameters(("jobId" = "$response.body#/data/jobId")))),
                ("cancel" = (operation_id = "cancel_job", parameters(("jobId" = "$response.body#/data/jobId")))),
            ),
        ),
        openapi::UploadErrors,
    ),
)]
pub(crate) async fn create_upload(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    reject_query(request.uri())?;
    let ObjectBody { bytes, object } = read_object(request, KEEP).await?;
    let (app, connection) = (&shared.app, path_param(id));
    let upload = {
        let check_address = |text: &str| app.check_address(text);
        read_upload(object, &Rules { check_address: &check_address, connection: &connection })?
    };
    let base_path = &shared.settings.base_path;
    let key = idempotency_key(&headers)?;
    let body = &bytes[..];
    match upload.source {
        RequestedSource::Url { .. } => {
            let answer = |job: &_| ReplayableResponse::upload_accepted(base_path, job);
            let present = |job: &_| answer(job).encode();
            let idempotency = key.map(|key| IdempotentRequest { key, body, present: &present });
            fresh_or_replayed(app.create_upload(&caller, &connection, upload, idempotency).await?, answer)
        }
        RequestedSource::Client { .. } => {
            let answer = |made: &_| ReplayableResponse::upload_link(base_path, made);
            let present = |made: &_| answer(made).encode();
            let idempotency = key.map(|key| IdempotentRequest { key, body, present: &present });
            fresh_or_replayed(
                app.create_upload_link(&caller, &connection, upload, idempotency).await?,
                answer,
            )
        }
    }
}
