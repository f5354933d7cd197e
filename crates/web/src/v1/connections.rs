//! The handlers of connections.

use std::convert::Infallible;

use app::IdempotentRequest;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::connection::ConnectionName;
use domain::health::HealthStatus;
use domain::id::ConnectionId;
use domain::page::PageLimit;
use futures_util::stream;

use super::connection::{
    ConnectionChangeIn, ConnectionOut, ConnectionsOut, CreatedOut, KEEP, NewConnectionIn, read_change,
    read_draft,
};
use crate::Shared;
use crate::auth::Authenticated;
use crate::body::{ObjectBody, read_object};
use crate::error::{Code, Problem};
use crate::fields::IgnoredFields;
use crate::headers::{check_if_match, etag, has_version, idempotency_key};
use crate::openapi;
use crate::page_key::{PageKey, page_key_text};
use crate::query::Query;
use crate::replay::{ReplayableResponse, fresh_or_replayed, json_with_capacity};

/// The error for another value of `health`.
const HEALTH_VALUES: &str = "must be healthy, unhealthy or unverified";
/// Approximate size of a connection in JSON.
const CONNECTION_BYTES: usize = 512;

/// Create a connection
///
/// The three credentials are verified with Vimeo before anything is stored. This takes at most 5 seconds unless the
/// operator allows more. The client secret and the access token are encrypted and never returned.
#[utoipa::path(
    post, path = "/v1/vimeo-connections", operation_id = "create_connection", tag = "Connections",
    security(("apiKey" = ["connections:write"])),
    params(openapi::IdempotencyKeyHeader),
    request_body(content = NewConnectionIn, description = "The new connection; 64 KiB at most."),
    responses(
        (status = 201, description = "Created.", body = CreatedOut,
            headers(
                ("Location" = String, description = "The path of the new connection."),
                ("X-Ignored-Fields" = String, description = "Names of fields that were ignored."),
                ("Idempotent-Replayed" = String, description = "`true` if this is the response to an earlier request with the same `Idempotency-Key`."),
            ),
            links(
                ("get" = (operation_id = "get_connection", parameters(("connectionId" = "$response.body#/connectionId")))),
                ("update" = (operation_id = "update_connection", parameters(("connectionId" = "$response.body#/connectionId")))),
                ("delete" = (operation_id = "delete_connection", parameters(("connectionId" = "$response.body#/connectionId")))),
            ),
        ),
        openapi::CreateErrors,
    ),
)]
pub(crate) async fn create_connection(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let ObjectBody { bytes, object } = read_object(request, KEEP).await?;
    let (draft, ignored) = read_draft(object, shared.settings.unknown_fields);
    let base_path = &shared.settings.base_path;
    let create = async || {
        let draft = draft?;
        let key = idempotency_key(&headers)?;
        let present = |connection: &_| ReplayableResponse::created(base_path, connection, &ignored).encode();
        let idempotency = key.map(|key| IdempotentRequest { key, body: &bytes, present: &present });
        let outcome = shared.app.create_connection(&caller, draft, idempotency).await?;
        fresh_or_replayed(outcome, |connection| ReplayableResponse::created(base_path, connection, &ignored))
    };
    // A successful response names the ignored fields itself; a replayed one names those of the first request.
    create().await.or_else(|problem| Ok(with_ignored_fields(Err(problem), &ignored)))
}

/// List connections
///
/// Oldest first. Paging returns every connection that exists from the first request to the last exactly once, whatever
/// is created and deleted in the meantime. Unknown parameters are ignored.
#[utoipa::path(
    get, path = "/v1/vimeo-connections", operation_id = "list_connections", tag = "Connections",
    security(("apiKey" = ["connections:read"])),
    params(openapi::PageQuery, openapi::ListQuery),
    responses(
        (status = 200, description = "A page.", body = ConnectionsOut,
            links(
                ("next" = (operation_id = "list_connections", parameters(("nextPageKey" = "$response.body#/nextPageKey")))),
            ),
        ),
        openapi::ListErrors,
    ),
)]
pub(crate) async fn list_connections(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::new(query.as_deref());
    let limit = query.parsed("limit", PageLimit::parse).unwrap_or(PageLimit::MAX);
    let page_key = PageKey::from_query(&mut query);
    let name = query.optional("name");
    let health = query.parsed("health", |text| HealthStatus::parse(text).ok_or(HEALTH_VALUES));
    query.finish()?;
    let after = page_key.decode(|bytes| shared.app.read_page_key(&caller, bytes))?;
    let (items, next) = if let Some(name) = name {
        // An invalid name matches no connection.
        let named = match ConnectionName::parse(&name) {
            Ok(name) => shared.app.find_connection_by_name(&caller, &name).await?,
            Err(_) => None,
        };
        let named = match (named, health) {
            (Some(named), Some(health)) => shared.app.with_health(named, health).await?,
            (named, _) => named,
        };
        (named.into_iter().filter(|found| after.as_ref() < Some(&found.id)).collect(), None)
    } else {
        let page = match health {
            Some(health) => {
                shared.app.list_connections_by_health(&caller, health, after.as_ref(), limit).await?
            }
            None => shared.app.list_connections(&caller, after.as_ref(), limit).await?,
        };
        (page.items, page.next)
    };
    let next_page_key = next.map(|bytes| page_key_text(&bytes));
    let page = ConnectionsOut { items: items.iter().map(ConnectionOut::from).collect(), next_page_key };
    Ok(json_with_capacity((page.items.len() + 1) * CONNECTION_BYTES, &page))
}

/// Get a connection
#[utoipa::path(
    get, path = "/v1/vimeo-connections/{connectionId}", operation_id = "get_connection", tag = "Connections",
    security(("apiKey" = ["connections:read"])),
    params(openapi::ConnectionIdPath, openapi::IfNoneMatchHeader),
    responses(
        (status = 200, description = "The connection.", body = ConnectionOut,
            headers(("ETag" = String, description = "The version in quotes.")),
            links(
                ("update" = (operation_id = "update_connection", parameters(("connectionId" = "$response.body#/connectionId")))),
                ("delete" = (operation_id = "delete_connection", parameters(("connectionId" = "$response.body#/connectionId")))),
            ),
        ),
        (status = 304, description = "`If-None-Match` has the current version.",
            headers(("ETag" = String, description = "The version in quotes."))),
        openapi::GetErrors,
    ),
)]
pub(crate) async fn get_connection(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = ConnectionId::parse(&path_param(id)).ok_or(Code::ConnectionNotFound)?;
    let connection = shared.app.find_connection(&caller, &id).await?;
    let body = if has_version(&headers, connection.version) {
        // Of unknown length: otherwise the response would have `Content-Length: 0`, which a cache could take for the
        // length of the connection.
        (StatusCode::NOT_MODIFIED, Body::from_stream(stream::empty::<Result<Bytes, Infallible>>()))
            .into_response()
    } else {
        Json(ConnectionOut::from(&connection)).into_response()
    };
    Ok(([(ETAG, etag(connection.version))], body).into_response())
}

/// Update a connection
///
/// Every successful update increases `version` and `updatedDate`, even if nothing else changes.
#[utoipa::path(
    put, path = "/v1/vimeo-connections/{connectionId}", operation_id = "update_connection", tag = "Connections",
    security(("apiKey" = ["connections:write"])),
    params(openapi::ConnectionIdPath, openapi::IfMatchHeader),
    request_body(content = ConnectionChangeIn, description = "The update; 64 KiB at most."),
    responses(
        (status = 200, description = "The updated connection.", body = ConnectionOut,
            headers(
                ("ETag" = String, description = "The new version in quotes."),
                ("X-Ignored-Fields" = String, description = "Names of fields that were ignored."),
            ),
        ),
        openapi::UpdateErrors,
    ),
)]
pub(crate) async fn update_connection(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let ObjectBody { object, .. } = read_object(request, KEEP).await?;
    let (change, ignored) = read_change(object, shared.settings.unknown_fields);
    let update = async || {
        let change = change?;
        check_if_match(&headers, change.expected_version)?;
        let connection = shared.app.update_connection(&caller, &path_param(id), change).await?;
        let tag = [(ETAG, etag(connection.version))];
        Ok((tag, Json(ConnectionOut::from(&connection))).into_response())
    };
    Ok(with_ignored_fields(update().await, &ignored))
}

/// Delete a connection
///
/// Its credentials are deleted permanently. The response is the same if it was already deleted or never existed.
#[utoipa::path(
    delete, path = "/v1/vimeo-connections/{connectionId}", operation_id = "delete_connection", tag = "Connections",
    security(("apiKey" = ["connections:write"])),
    params(openapi::ConnectionIdPath),
    responses((status = 204, description = "The connection does not exist or no longer exists."), openapi::DeleteErrors),
)]
pub(crate) async fn delete_connection(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    // An invalid ID does not exist, and deleting it succeeds.
    if let Some(id) = ConnectionId::parse(&path_param(id)) {
        shared.app.delete_connection(&caller, &id).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A path parameter; empty if it is not valid UTF-8.
pub(super) fn path_param(id: Result<Path<String>, PathRejection>) -> String {
    id.map(|Path(id)| id).unwrap_or_default()
}

/// Adds the names of ignored fields to a response or an error.
pub(super) fn with_ignored_fields(result: Result<Response, Problem>, ignored: &IgnoredFields) -> Response {
    let mut response = result.unwrap_or_else(Problem::into_response);
    ignored.report(&mut response);
    response
}
