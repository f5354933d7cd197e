//! The handlers of API keys.

use app::Error;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use domain::audit::Action;
use domain::id::ApiKeyId;
use domain::page::PageLimit;

use super::api_key::{
    ApiKeyOut, ApiKeysOut, CreatedApiKeyOut, KEEP_NEW, KEEP_RENAMED, KEEP_ROTATED, NewApiKeyIn,
    RenamedApiKeyIn, RotationIn, read_name, read_new_key, read_rotation,
};
use super::connections::path_param;
use crate::Shared;
use crate::auth::Authenticated;
use crate::body::{read_object, read_optional_object};
use crate::error::{Code, Problem};
use crate::openapi;
use crate::page_key::{PageKey, page_key_text};
use crate::query::{NoQuery, Query};

/// Create an API key
///
/// The key is returned only once. It allows no more than the key that creates it, and not for longer. Creating keys is not
/// idempotent: `Idempotency-Key` is ignored, because the response is not stored.
#[utoipa::path(
    post, path = "/v1/api-keys", operation_id = "create_api_key", tag = "Keys",
    security(("apiKey" = ["keys:manage"])),
    request_body(content = NewApiKeyIn, description = "The settings of the new key; 64 KiB at most."),
    responses(
        (status = 201, description = "Created.", body = CreatedApiKeyOut,
            headers(("Location" = String, description = "The path of the new key."))),
        openapi::CreateKeyErrors,
    ),
)]
pub(crate) async fn create_api_key(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    request: Request,
) -> Result<Response, Problem> {
    let options = read_new_key(read_object(request, KEEP_NEW).await?.object, caller.scopes)?;
    let new = shared.app.create_api_key(&caller, options).await?;
    Ok(created(&shared, &CreatedApiKeyOut::new(&new), &new.key.id))
}

/// List API keys
///
/// Oldest first, also expired and revoked ones.
#[utoipa::path(
    get, path = "/v1/api-keys", operation_id = "list_api_keys", tag = "Keys",
    security(("apiKey" = ["keys:manage"])),
    params(openapi::PageQuery),
    responses((status = 200, description = "A page.", body = ApiKeysOut), openapi::ListErrors),
)]
pub(crate) async fn list_api_keys(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::new(query.as_deref());
    let limit = query.parsed("limit", PageLimit::parse).unwrap_or(PageLimit::MAX);
    let page_key = PageKey::from_query(&mut query);
    query.finish_strict()?;
    let after = page_key.decode(|bytes| shared.app.read_api_key_page_key(&caller, bytes))?;
    let page = shared.app.list_api_key_page(&caller, after.as_ref(), limit).await?;
    let items = page.items.iter().map(|(key, status)| ApiKeyOut::new(key, *status)).collect();
    let next_page_key = page.next.map(|bytes| page_key_text(&bytes));
    Ok(Json(ApiKeysOut { items, next_page_key }).into_response())
}

/// Get an API key
#[utoipa::path(
    get, path = "/v1/api-keys/{keyId}", operation_id = "get_api_key", tag = "Keys",
    security(("apiKey" = ["keys:manage"])),
    params(openapi::ApiKeyIdPath),
    responses((status = 200, description = "The key.", body = ApiKeyOut), openapi::GetKeyErrors),
)]
pub(crate) async fn get_api_key(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let (key, status) = shared.app.find_own_api_key(&caller, &key_id(id)?).await?;
    Ok(Json(ApiKeyOut::new(&key, status)).into_response())
}

/// Rename an API key
#[utoipa::path(
    patch, path = "/v1/api-keys/{keyId}", operation_id = "rename_api_key", tag = "Keys",
    security(("apiKey" = ["keys:manage"])),
    params(openapi::ApiKeyIdPath),
    request_body(content = RenamedApiKeyIn, description = "The new name; 64 KiB at most."),
    responses((status = 200, description = "The renamed key.", body = ApiKeyOut), openapi::RenameKeyErrors),
)]
pub(crate) async fn rename_api_key(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let name = read_name(read_object(request, KEEP_RENAMED).await?.object)?;
    let id = ApiKeyId::parse(&path_param(id));
    let id = shared.app.well_formed(&caller, Action::RenameApiKey, id, Error::ApiKeyNotFound).await?;
    let (key, status) = shared.app.rename_api_key(&caller, &id, name).await?;
    Ok(Json(ApiKeyOut::new(&key, status)).into_response())
}

/// Revoke an API key
///
/// It stops working on every node within a second; event streams that it opened end. A key that is revoked already does not
/// change. The last key with the scope `keys:manage` cannot be revoked.
#[utoipa::path(
    delete, path = "/v1/api-keys/{keyId}", operation_id = "revoke_api_key", tag = "Keys",
    security(("apiKey" = ["keys:manage"])),
    params(openapi::ApiKeyIdPath),
    responses((status = 204, description = "The key is revoked."), openapi::RevokeKeyErrors),
)]
pub(crate) async fn revoke_api_key(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = ApiKeyId::parse(&path_param(id));
    let id = shared.app.well_formed(&caller, Action::RevokeApiKey, id, Error::ApiKeyNotFound).await?;
    shared.app.revoke_api_key(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Rotate an API key
///
/// Creates a key with the same name and scopes, which is returned only once. The old key remains valid for
/// `overlapSeconds`, so that clients can switch. No body is needed. A retry creates another successor: if the first
/// response was lost, revoke what it created (`GET /v1/api-keys` shows it), and set `expiresInDays`, because the old key
/// expires soon and its next successor would expire with it.
#[utoipa::path(
    post, path = "/v1/api-keys/{keyId}/rotate", operation_id = "rotate_api_key", tag = "Keys",
    security(("apiKey" = ["keys:manage"])),
    params(openapi::ApiKeyIdPath),
    request_body(content = Option<RotationIn>, description = "How the key is rotated; 64 KiB at most."),
    responses(
        (status = 201, description = "The successor.", body = CreatedApiKeyOut,
            headers(("Location" = String, description = "The path of the new key."))),
        openapi::RotateKeyErrors,
    ),
)]
pub(crate) async fn rotate_api_key(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let options = read_rotation(read_optional_object(request, KEEP_ROTATED).await?)?;
    let id = ApiKeyId::parse(&path_param(id));
    let id = shared.app.well_formed(&caller, Action::RotateApiKey, id, Error::ApiKeyNotFound).await?;
    let new = shared.app.rotate_api_key(&caller, &id, options).await?;
    Ok(created(&shared, &CreatedApiKeyOut::new(&new), &new.key.id))
}

fn created(shared: &Shared, body: &CreatedApiKeyOut<'_>, id: &ApiKeyId) -> Response {
    let location = format!("{}/v1/api-keys/{id}", shared.settings.base_path);
    (StatusCode::CREATED, [(LOCATION, location)], Json(body)).into_response()
}

/// The key in the path. An invalid ID is not found.
fn key_id(id: Result<Path<String>, PathRejection>) -> Result<ApiKeyId, Problem> {
    ApiKeyId::parse(&path_param(id)).ok_or_else(|| Code::ApiKeyNotFound.into())
}
