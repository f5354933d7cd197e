//! The deliveries of webhooks: their wire types and handlers.

use app::{Caller, DeliveryFilter, DeliveryPage};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use domain::id::EndpointId;
use domain::job::JobId;
use domain::page::PageLimit;
use domain::webhook::{Delivery, DeliveryStatus};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::connections::path_param;
use crate::Shared;
use crate::auth::Authenticated;
use crate::body::read_empty;
use crate::error::{Code, Problem};
use crate::openapi;
use crate::page_key::{PageKey, page_key_text};
use crate::query::{NoQuery, Query};

/// A message to one receiver. Its content and the responses are not shown. Fields without a value are omitted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookDelivery)]
pub(crate) struct DeliveryOut<'a> {
    #[schema(example = "20260131090500042k3v9x0q2m7t1b8z-whe_20260131090500042k3v9x0q2m7t1b8z")]
    delivery_id: &'a str,
    /// The `webhook-id` of its requests.
    #[schema(example = "msg_20260131090500042k3v9x0q2m7t1b8z")]
    event_id: &'a str,
    /// The type of the event. For the webhook of a job: how the job ended.
    #[serde(rename = "type")]
    #[schema(example = "upload.completed")]
    event_type: &'a str,
    /// Omitted for the webhook of a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "whe_20260131090500042k3v9x0q2m7t1b8z")]
    endpoint_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uuid", example = "019c1234-5678-7abc-8def-0123456789ab")]
    job_id: Option<&'a str>,
    #[schema(pattern = "^(waiting|delivered|exhausted)$", example = "waiting")]
    status: &'static str,
    /// Attempts since it was created or last sent again.
    #[schema(minimum = 0, example = 2)]
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-01-31T09:05:05.321Z")]
    last_attempt_date: Option<String>,
    /// `http` (see `lastStatus`), `no_response`, `unreachable`, or why nothing was sent: `not_allowed` (the URL),
    /// `endpoint_disabled`, `endpoint_deleted`, `unreadable` (what is stored). Later versions add results.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[a-z_]+$", example = "http")]
    last_result: Option<&'static str>,
    /// The status of the last response.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 100, maximum = 999, example = 503)]
    last_status: Option<u16>,
    /// How long the last attempt took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 120)]
    last_duration_ms: Option<u64>,
    /// When the next attempt is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-01-31T09:06:05.321Z")]
    next_attempt_date: Option<String>,
    /// When the event happened.
    #[schema(format = DateTime, example = "2026-01-31T09:05:00.042Z")]
    created_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-02-03T09:05:00.042Z")]
    ended_date: Option<String>,
}

impl<'a> From<&'a Delivery> for DeliveryOut<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        let last = delivery.last_attempt.as_ref();
        let result = last.map(|last| last.result.to_stored());
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            delivery_id: delivery.id.as_str(),
            event_id: &delivery.event_id,
            event_type: &delivery.event_type,
            endpoint_id: delivery.endpoint_id.as_ref().map(EndpointId::as_str),
            job_id: delivery.job_id.as_ref().map(JobId::as_str),
            status: delivery.status.as_str(),
            attempts: delivery.attempts,
            last_attempt_date: last.map(|last| last.at.to_string()),
            last_result: result.map(|(name, _)| name),
            last_status: result.and_then(|(_, status)| status),
            last_duration_ms: last.map(|last| millis(last.duration)),
            next_attempt_date: delivery.next_attempt_at.map(|at| at.to_string()),
            created_date: delivery.created_at.to_string(),
            ended_date: delivery.ended_at.map(|at| at.to_string()),
        }
    }
}

/// A delivery as JSON, for the command line: the object of the API.
pub fn webhook_delivery_object(delivery: &Delivery) -> serde_json::Value {
    // Serialising strings and numbers does not fail.
    serde_json::to_value(DeliveryOut::from(delivery)).unwrap_or_default()
}

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookDeliveryPage)]
pub(crate) struct DeliveriesOut<'a> {
    items: Vec<DeliveryOut<'a>>,
    /// Omitted on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_key: Option<String>,
}

/// A filter of deliveries.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(super) struct StatusQuery {
    /// Only deliveries with this status.
    #[param(pattern = "^(waiting|delivered|exhausted)$", example = "exhausted", nullable = false)]
    status: Option<String>,
}

/// More filters of deliveries.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(super) struct DeliveryQuery {
    /// Only deliveries to this endpoint.
    #[param(
        rename = "endpointId",
        format = "webhook-endpoint-id",
        example = "whe_20260131090500042k3v9x0q2m7t1b8z",
        nullable = false
    )]
    endpoint_id: Option<String>,
    /// Only deliveries about this job: its own webhook, and the events of its end.
    #[param(
        rename = "jobId",
        format = "uuid",
        example = "019c1234-5678-7abc-8def-0123456789ab",
        nullable = false
    )]
    job_id: Option<String>,
}

/// List the deliveries of a webhook endpoint
///
/// Newest first. They are kept for 30 days after their end, unless the operator configured something else.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{endpointId}/deliveries", operation_id = "list_webhook_endpoint_deliveries",
    tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::EndpointIdPath, openapi::PageQuery, StatusQuery),
    responses((status = 200, description = "A page.", body = DeliveriesOut), openapi::ListEndpointErrors),
)]
pub(crate) async fn list_webhook_endpoint_deliveries(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (request, page_key) = read_query(Query::new(query.as_deref()), |_| Ok(DeliveryFilter::default()))?;
    let id = EndpointId::parse(&path_param(id)).ok_or(Code::WebhookEndpointNotFound)?;
    shared.app.check_webhook_endpoint(&caller, &id).await?;
    let filter = DeliveryFilter { endpoint_id: Some(id), ..request.filter };
    list(&shared, &caller, PageRequest { filter, ..request }, page_key).await
}

/// List webhook deliveries
///
/// Newest first: those to all endpoints of the account, and the webhooks of jobs.
#[utoipa::path(
    get, path = "/v1/webhook-deliveries", operation_id = "list_webhook_deliveries", tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::PageQuery, StatusQuery, DeliveryQuery),
    responses((status = 200, description = "A page.", body = DeliveriesOut), openapi::ListErrors),
)]
pub(crate) async fn list_webhook_deliveries(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (request, page_key) = read_query(Query::new(query.as_deref()), |query| {
        let endpoint = |text: &str| EndpointId::parse(text).ok_or("must be the ID of a webhook endpoint");
        let job = |text: &str| JobId::parse(text).ok_or("must be the ID of a job");
        let (endpoint_id, job_id) = (query.parsed("endpointId", endpoint), query.parsed("jobId", job));
        Ok(DeliveryFilter { endpoint_id, job_id, ..DeliveryFilter::default() })
    })?;
    list(&shared, &caller, request, page_key).await
}

/// What a page is requested with.
struct PageRequest {
    filter: DeliveryFilter,
    limit: PageLimit,
}

fn read_query(
    mut query: Query,
    own: impl FnOnce(&mut Query) -> Result<DeliveryFilter, Problem>,
) -> Result<(PageRequest, PageKey), Problem> {
    let limit = query.parsed("limit", PageLimit::parse).unwrap_or(PageLimit::MAX);
    let page_key = PageKey::from_query(&mut query);
    let filter = DeliveryFilter { status: query.parsed("status", DeliveryStatus::parse), ..own(&mut query)? };
    query.finish_strict()?;
    Ok((PageRequest { filter, limit }, page_key))
}

async fn list(
    shared: &Shared,
    caller: &Caller,
    request: PageRequest,
    page_key: PageKey,
) -> Result<Response, Problem> {
    let before = page_key.decode(|bytes| shared.app.read_delivery_page_key(caller, bytes))?;
    let filter = DeliveryFilter { before, ..request.filter };
    let DeliveryPage { items, next } =
        shared.app.list_webhook_deliveries(caller, &filter, request.limit).await?;
    let next_page_key = next.map(|bytes| page_key_text(&bytes));
    let items = items.iter().map(DeliveryOut::from).collect();
    Ok(Json(DeliveriesOut { items, next_page_key }).into_response())
}

/// Send a webhook again
///
/// The delivery waits for an attempt again, whatever its status, with its attempts counted from zero. The webhook of a job can
/// be sent again until it has ended. No body is needed; an empty object is accepted.
#[utoipa::path(
    post, path = "/v1/webhook-deliveries/{deliveryId}/redeliver", operation_id = "redeliver_webhook", tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::DeliveryIdPath),
    responses(
        (status = 202, description = "It is sent soon.", body = DeliveryOut),
        openapi::RedeliverErrors,
    ),
)]
pub(crate) async fn redeliver_webhook(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    read_empty(request).await?;
    let delivery = shared.app.redeliver_webhook(&caller, &path_param(id)).await?;
    Ok((StatusCode::ACCEPTED, Json(DeliveryOut::from(&delivery))).into_response())
}
