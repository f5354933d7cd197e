//! The handlers of webhook endpoints.

use app::{Error, IdempotentRequest};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::audit::Action;
use domain::id::EndpointId;
use domain::page::PageLimit;
use domain::secret::Secret;

use super::connections::path_param;
use super::webhook_endpoint::{
    CreatedEndpointOut, EndpointChangeIn, EndpointOut, EndpointsOut, KEEP, NewEndpointIn, read_change,
    read_new,
};
use crate::Shared;
use crate::auth::Authenticated;
use crate::body::{ObjectBody, read_empty, read_object};
use crate::error::{Code, Problem};
use crate::headers::idempotency_key;
use crate::openapi;
use crate::page_key::{PageKey, page_key_text};
use crate::query::{NoQuery, Query};
use crate::replay::{ReplayableResponse, fresh_or_replayed};

/// Create a webhook endpoint
///
/// From now on it receives the events of the account, in the envelope of the Standard Webhooks specification and signed with
/// its secret, which is returned only once. An event is delivered at least once: `webhook-id` is the same for each attempt
/// and each endpoint.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints", operation_id = "create_webhook_endpoint", tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::IdempotencyKeyHeader),
    request_body(content = NewEndpointIn, description = "The settings of the endpoint; 64 KiB at most."),
    responses(
        (status = 201, description = "Created.", body = CreatedEndpointOut,
            headers(
                ("Location" = String, description = "The path of the endpoint."),
                ("Idempotent-Replayed" = String, description = "`true` if this is the response to an earlier request with the same `Idempotency-Key`."),
            ),
            links(
                ("get" = (operation_id = "get_webhook_endpoint", parameters(("endpointId" = "$response.body#/endpointId")))),
                ("update" = (operation_id = "update_webhook_endpoint", parameters(("endpointId" = "$response.body#/endpointId")))),
                ("test" = (operation_id = "test_webhook_endpoint", parameters(("endpointId" = "$response.body#/endpointId")))),
                ("delete" = (operation_id = "delete_webhook_endpoint", parameters(("endpointId" = "$response.body#/endpointId")))),
            ),
        ),
        openapi::CreateEndpointErrors,
    ),
)]
pub(crate) async fn create_webhook_endpoint(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let ObjectBody { bytes, object } = read_object(request, KEEP).await?;
    let draft = read_new(object, &|text| check_url(&shared, text))?;
    let key = idempotency_key(&headers)?;
    let base_path = &shared.settings.base_path;
    let present = |created: &_| ReplayableResponse::endpoint_created(base_path, created).encode();
    let idempotency = key.map(|key| IdempotentRequest { key, body: &bytes, present: &present });
    let outcome = shared.app.create_webhook_endpoint(&caller, draft, idempotency).await?;
    fresh_or_replayed(outcome, |created| ReplayableResponse::endpoint_created(base_path, created))
}

/// List webhook endpoints
///
/// Oldest first.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints", operation_id = "list_webhook_endpoints", tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::PageQuery),
    responses((status = 200, description = "A page.", body = EndpointsOut), openapi::ListErrors),
)]
pub(crate) async fn list_webhook_endpoints(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::new(query.as_deref());
    let limit = query.parsed("limit", PageLimit::parse).unwrap_or(PageLimit::MAX);
    let page_key = PageKey::from_query(&mut query);
    query.finish_strict()?;
    let after = page_key.decode(|bytes| shared.app.read_endpoint_page_key(&caller, bytes))?;
    let page = shared.app.list_webhook_endpoints(&caller, after.as_ref(), limit).await?;
    let items = page.items.iter().map(EndpointOut::from).collect();
    let next_page_key = page.next.map(|bytes| page_key_text(&bytes));
    Ok(Json(EndpointsOut { items, next_page_key }).into_response())
}

/// Get a webhook endpoint
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{endpointId}", operation_id = "get_webhook_endpoint", tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::EndpointIdPath),
    responses((status = 200, description = "The endpoint.", body = EndpointOut), openapi::GetEndpointErrors),
)]
pub(crate) async fn get_webhook_endpoint(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = EndpointId::parse(&path_param(id)).ok_or(Code::WebhookEndpointNotFound)?;
    let shown = shared.app.find_webhook_endpoint(&caller, &id).await?;
    Ok(Json(EndpointOut::from(&shown)).into_response())
}

/// Update a webhook endpoint
///
/// Another URL also receives what is waiting for the endpoint.
#[utoipa::path(
    patch, path = "/v1/webhook-endpoints/{endpointId}", operation_id = "update_webhook_endpoint", tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::EndpointIdPath),
    request_body(content = EndpointChangeIn, description = "What changes; 64 KiB at most."),
    responses((status = 200, description = "The endpoint.", body = EndpointOut), openapi::UpdateEndpointErrors),
)]
pub(crate) async fn update_webhook_endpoint(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let change = read_change(read_object(request, KEEP).await?.object, &|text| check_url(&shared, text))?;
    let id = EndpointId::parse(&path_param(id));
    let unknown = Error::WebhookEndpointNotFound;
    let id = shared.app.well_formed(&caller, Action::UpdateWebhookEndpoint, id, unknown).await?;
    let shown = shared.app.update_webhook_endpoint(&caller, &id, change).await?;
    Ok(Json(EndpointOut::from(&shown)).into_response())
}

/// Delete a webhook endpoint
///
/// What is waiting for it is not sent.
#[utoipa::path(
    delete, path = "/v1/webhook-endpoints/{endpointId}", operation_id = "delete_webhook_endpoint", tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::EndpointIdPath),
    responses((status = 204, description = "Deleted."), openapi::DeleteEndpointErrors),
)]
pub(crate) async fn delete_webhook_endpoint(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = EndpointId::parse(&path_param(id));
    let unknown = Error::WebhookEndpointNotFound;
    let id = shared.app.well_formed(&caller, Action::DeleteWebhookEndpoint, id, unknown).await?;
    shared.app.delete_webhook_endpoint(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Rotate the secret of a webhook endpoint
///
/// The previous secret also signs for 24 hours, so that the receiver can switch; one before it stops immediately. No body is
/// needed; an empty object is accepted.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpointId}/rotate-secret", operation_id = "rotate_webhook_endpoint_secret",
    tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::EndpointIdPath),
    responses(
        (status = 200, description = "The endpoint with its new secret, shown only this once.", body = CreatedEndpointOut),
        openapi::RotateEndpointErrors,
    ),
)]
pub(crate) async fn rotate_webhook_endpoint_secret(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    read_empty(request).await?;
    let id = EndpointId::parse(&path_param(id));
    let unknown = Error::WebhookEndpointNotFound;
    let id = shared.app.well_formed(&caller, Action::RotateWebhookEndpointSecret, id, unknown).await?;
    let rotated = shared.app.rotate_webhook_endpoint_secret(&caller, &id).await?;
    Ok(Json(CreatedEndpointOut::from(&rotated)).into_response())
}

/// Test a webhook endpoint
///
/// Sends it a `webhook.test` event, whatever it subscribes to. No body is needed; an empty object is accepted.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{endpointId}/test", operation_id = "test_webhook_endpoint", tag = "Webhooks",
    security(("apiKey" = ["webhooks:manage"])),
    params(openapi::EndpointIdPath),
    responses(
        (status = 202, description = "The event is sent soon; see the deliveries of the endpoint."),
        openapi::TestEndpointErrors,
    ),
)]
pub(crate) async fn test_webhook_endpoint(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    read_empty(request).await?;
    let id = EndpointId::parse(&path_param(id));
    let unknown = Error::WebhookEndpointNotFound;
    let id = shared.app.well_formed(&caller, Action::TestWebhookEndpoint, id, unknown).await?;
    shared.app.test_webhook_endpoint(&caller, &id).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

fn check_url(shared: &Shared, text: &str) -> Result<Secret, String> {
    match shared.app.check_address(text) {
        Ok(_) => Ok(Secret::new(text.to_owned())),
        Err(error) => Err(error.to_string()),
    }
}
