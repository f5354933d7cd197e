//! The handlers of authorizations.

use app::IdempotentRequest;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::id::AuthorizationId;
use domain::page::PageLimit;

use super::authorization::{
    AuthorizationOut, AuthorizationsOut, CreatedAuthorizationOut, KEEP, NewAuthorizationIn, read_new,
};
use super::connections::path_param;
use crate::Shared;
use crate::auth::Authenticated;
use crate::body::{ObjectBody, read_object};
use crate::error::{Code, Problem};
use crate::headers::idempotency_key;
use crate::openapi;
use crate::page_key::{PageKey, page_key_text};
use crate::query::{NoQuery, Query};
use crate::replay::{ReplayableResponse, fresh_or_replayed};

/// Create an authorization
///
/// Asks a person to let the app use a Vimeo account, so that no access token has to be copied. Send the person to `connectUrl`:
/// the page names your account and what it asks for, and sends the browser to Vimeo. The app needs the redirect URI
/// `/connect/callback` at the service's public URL. When the person has agreed, the connection is created, or renewed with a token
/// of the same Vimeo account. The person has 30 minutes.
#[utoipa::path(
    post, path = "/v1/vimeo-connections/authorizations", operation_id = "create_authorization", tag = "Authorizations",
    security(("apiKey" = ["connections:write"])),
    params(openapi::IdempotencyKeyHeader),
    request_body(content = NewAuthorizationIn, description = "What the person is asked for; 64 KiB at most."),
    responses(
        (status = 201, description = "Created.", body = CreatedAuthorizationOut,
            headers(
                ("Location" = String, description = "The path of the authorization."),
                ("Idempotent-Replayed" = String, description = "`true` if this is the response to an earlier request with the same `Idempotency-Key`."),
            ),
            links(
                ("get" = (operation_id = "get_authorization", parameters(("authorizationId" = "$response.body#/authorizationId")))),
            ),
        ),
        openapi::CreateAuthorizationErrors,
    ),
)]
pub(crate) async fn create_authorization(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let ObjectBody { bytes, object } = read_object(request, KEEP).await?;
    let draft = read_new(object, &|scopes| shared.app.missing_scopes(scopes))?;
    let key = idempotency_key(&headers)?;
    let base_path = &shared.settings.base_path;
    let present = |created: &_| ReplayableResponse::authorization_created(base_path, created).encode();
    let idempotency = key.map(|key| IdempotentRequest { key, body: &bytes, present: &present });
    let outcome = shared.app.create_authorization(&caller, draft, idempotency).await?;
    fresh_or_replayed(outcome, |created| ReplayableResponse::authorization_created(base_path, created))
}

/// List authorizations
///
/// Newest first. Authorizations are kept for 30 days after their end.
#[utoipa::path(
    get, path = "/v1/vimeo-connections/authorizations", operation_id = "list_authorizations", tag = "Authorizations",
    security(("apiKey" = ["connections:read"])),
    params(openapi::PageQuery),
    responses((status = 200, description = "A page.", body = AuthorizationsOut), openapi::ListErrors),
)]
pub(crate) async fn list_authorizations(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::new(query.as_deref());
    let limit = query.parsed("limit", PageLimit::parse).unwrap_or(PageLimit::MAX);
    let page_key = PageKey::from_query(&mut query);
    query.finish_strict()?;
    let before = page_key.decode(|bytes| shared.app.read_authorization_page_key(&caller, bytes))?;
    let page = shared.app.list_authorizations(&caller, before.as_ref(), limit).await?;
    let items = page.items.iter().map(AuthorizationOut::from).collect();
    let next_page_key = page.next.map(|bytes| page_key_text(&bytes));
    Ok(Json(AuthorizationsOut { items, next_page_key }).into_response())
}

/// Get an authorization
///
/// With the device flow, this asks Vimeo for the person's decision, at most once in `interval` seconds.
#[utoipa::path(
    get, path = "/v1/vimeo-connections/authorizations/{authorizationId}", operation_id = "get_authorization",
    tag = "Authorizations",
    security(("apiKey" = ["connections:read"])),
    params(openapi::AuthorizationIdPath),
    responses(
        (status = 200, description = "The authorization.", body = AuthorizationOut),
        openapi::GetAuthorizationErrors,
    ),
)]
pub(crate) async fn get_authorization(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = AuthorizationId::parse(&path_param(id)).ok_or(Code::AuthorizationNotFound)?;
    let shown = shared.app.find_authorization(&caller, &id).await?;
    Ok(Json(AuthorizationOut::from(&shown)).into_response())
}

/// Withdraw an authorization
///
/// Its `connectUrl`, or its code, leads nowhere from then on: the status is `failed` with the reason `WITHDRAWN`. An authorization
/// that has ended does not change. If its decision is being processed, the response waits for that, at most ten seconds.
#[utoipa::path(
    delete, path = "/v1/vimeo-connections/authorizations/{authorizationId}", operation_id = "withdraw_authorization",
    tag = "Authorizations",
    security(("apiKey" = ["connections:write"])),
    params(openapi::AuthorizationIdPath),
    responses(
        (status = 204, description = "The authorization was withdrawn or had already ended."),
        openapi::WithdrawAuthorizationErrors,
    ),
)]
pub(crate) async fn withdraw_authorization(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    shared.app.withdraw_authorization(&caller, &path_param(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
