//! The health of a connection: as the last check found it, and checked now.

use app::ConnectionReport;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use domain::health::{CheckState, FreeBytes, HealthProblem, VimeoUser};
use domain::id::ConnectionId;
use serde::Serialize;
use utoipa::ToSchema;

use super::connections::path_param;
use crate::Shared;
use crate::auth::Authenticated;
use crate::body::read_empty;
use crate::error::{Code, Problem};
use crate::openapi;
use crate::query::NoQuery;

/// The health of a connection. What is not known is left out.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConnectionHealth)]
pub(crate) struct ConnectionHealthOut<'a> {
    /// `healthy`: Vimeo accepts the credentials. `unhealthy`: it rejects them, or the app may not upload. `unverified`: Vimeo
    /// has not been asked successfully yet.
    #[schema(pattern = "^(healthy|unhealthy|unverified)$", example = "healthy")]
    status: &'static str,
    /// When Vimeo was last asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-01-31T09:05:00.042Z")]
    checked_date: Option<String>,
    /// When it will be asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-02-01T08:12:31.000Z")]
    next_check_date: Option<String>,
    /// The Vimeo account that videos are uploaded to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    vimeo_user: Option<VimeoUserOut<'a>>,
    /// The scopes of the access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = json!(["public", "private", "upload", "edit"]))]
    scopes: Option<&'a [String]>,
    /// The free space of the account. A number that is left out is unlimited, not known, or not in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    quota: Option<QuotaOut>,
    /// The values of `privacy.view` that the account may use, as the last upload found them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = json!(["anybody", "nobody", "password"]))]
    allowed_privacies: Option<&'a [String]>,
    /// Each check with its last result.
    checks: Vec<CheckOut<'a>>,
    /// Why the connection is unhealthy, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<HealthProblemOut<'a>>,
    /// Since when it has this status.
    #[schema(format = DateTime, example = "2026-01-31T09:05:00.042Z")]
    since: String,
}

/// A Vimeo account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VimeoUser)]
pub(crate) struct VimeoUserOut<'a> {
    #[schema(example = "Vera Example")]
    name: &'a str,
    #[schema(example = "/users/240002")]
    uri: &'a str,
    /// The plan, as Vimeo names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "standard")]
    account_type: Option<&'a str>,
}

/// Free space in bytes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConnectionQuota)]
#[expect(clippy::struct_field_names, reason = "the names of the contract")]
pub(crate) struct QuotaOut {
    /// In all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 5_000_000_000_u64)]
    space_free_bytes: Option<u64>,
    /// In this period.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 500_000_000_u64)]
    period_free_bytes: Option<u64>,
    /// For videos that are not public.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1_000_000_000_u64)]
    restricted_free_bytes: Option<u64>,
}

/// One check.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionCheck)]
pub(crate) struct CheckOut<'a> {
    /// `client_credentials`, `token`, `token_app`, `scopes`, `upload_access`, `quota` or `account`.
    #[schema(example = "token")]
    name: &'static str,
    /// `pass`; `warn`: uploads may fail soon; `fail`: they fail; `unknown`: Vimeo could not be asked or did not say, which
    /// changes no status.
    #[schema(pattern = "^(pass|warn|fail|unknown)$", example = "pass")]
    result: &'static str,
    /// For people; one line for each thing that is wrong.
    #[schema(example = "Vimeo accepts the access token.")]
    message: &'a str,
}

/// Why a connection is unhealthy.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthProblem)]
pub(crate) struct HealthProblemOut<'a> {
    /// For programs.
    #[schema(example = "TOKEN_REJECTED")]
    code: &'static str,
    /// What is wrong and how to fix it; one line for each thing.
    #[schema(
        example = "The access token is unknown to Vimeo, expired or revoked; generate a new one on the app's page."
    )]
    message: &'a str,
}

impl<'a> From<&'a HealthProblem> for HealthProblemOut<'a> {
    fn from(problem: &'a HealthProblem) -> Self {
        Self { code: problem.code.as_str(), message: &problem.message }
    }
}

impl<'a> From<&'a CheckState> for CheckOut<'a> {
    fn from(check: &'a CheckState) -> Self {
        Self {
            name: check.name.as_str(),
            result: check.latest.result.as_str(),
            message: &check.latest.message,
        }
    }
}

impl<'a> From<&'a VimeoUser> for VimeoUserOut<'a> {
    fn from(user: &'a VimeoUser) -> Self {
        Self { name: &user.name, uri: &user.uri, account_type: user.account_type.as_deref() }
    }
}

impl From<FreeBytes> for QuotaOut {
    fn from(free: FreeBytes) -> Self {
        Self {
            space_free_bytes: free.space,
            period_free_bytes: free.period,
            restricted_free_bytes: free.restricted,
        }
    }
}

impl<'a> From<&'a ConnectionReport> for ConnectionHealthOut<'a> {
    fn from(report: &'a ConnectionReport) -> Self {
        let ConnectionReport { health, next_check_at, .. } = report;
        let date = |at: domain::time::Timestamp| at.floor_to_millis().to_string();
        Self {
            status: health.status.as_str(),
            checked_date: health.checked_at.map(date),
            next_check_date: next_check_at.map(date),
            vimeo_user: health.facts.user.as_ref().map(Into::into),
            scopes: health.facts.scopes.as_deref(),
            quota: health.facts.quota.map(Into::into),
            allowed_privacies: health.facts.allowed_privacies.as_deref(),
            checks: health.checks.iter().map(Into::into).collect(),
            problem: health.problem.as_ref().map(Into::into),
            since: date(health.since),
        }
    }
}

/// Get the health of a connection
///
/// As the last check found it. Connections are checked in the background, more often while they are used.
#[utoipa::path(
    get, path = "/v1/vimeo-connections/{connectionId}/health", operation_id = "get_connection_health", tag = "Connections",
    security(("apiKey" = ["connections:read"])),
    params(openapi::ConnectionIdPath),
    responses((status = 200, description = "Its health.", body = ConnectionHealthOut), openapi::HealthErrors),
)]
pub(crate) async fn get_connection_health(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    NoQuery: NoQuery,
) -> Result<Response, Problem> {
    let id = ConnectionId::parse(&path_param(id)).ok_or(Code::ConnectionNotFound)?;
    let report = shared.app.find_connection_health(&caller, &id).await?;
    Ok(Json(ConnectionHealthOut::from(&report)).into_response())
}

/// Check a connection now
///
/// Asks Vimeo and returns what it found, also for a disabled connection. A connection can be checked every five seconds.
#[utoipa::path(
    post, path = "/v1/vimeo-connections/{connectionId}/verify", operation_id = "verify_connection", tag = "Connections",
    security(("apiKey" = ["connections:write"])),
    params(openapi::ConnectionIdPath),
    responses((status = 200, description = "Its health.", body = ConnectionHealthOut), openapi::VerifyErrors),
)]
pub(crate) async fn verify_connection(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    NoQuery: NoQuery,
    request: Request,
) -> Result<Response, Problem> {
    read_empty(request).await?;
    let report = shared.app.verify_connection(&caller, &path_param(id)).await?;
    Ok(Json(ConnectionHealthOut::from(&report)).into_response())
}
