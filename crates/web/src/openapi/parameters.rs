//! The parameters of operations, for their description: paths, queries and headers.

use utoipa::IntoParams;

/// The connection in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct ConnectionIdPath {
    /// As returned when it was created. An invalid ID is not found.
    #[param(rename = "connectionId", example = "20260131090500042k3v9x0q2m7t1b8z")]
    connection_id: String,
}

/// The job in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct JobIdPath {
    /// As returned when the upload was created. An invalid ID is not found.
    #[param(rename = "jobId", example = "019c1234-5678-7abc-8def-0123456789ab")]
    job_id: String,
}

/// The API key in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct ApiKeyIdPath {
    /// Its ID, not the key itself. An invalid ID is not found.
    #[param(rename = "keyId", example = "key_7t1b8z4d0c6q2v9x1k3m")]
    key_id: String,
}

/// The webhook endpoint in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct EndpointIdPath {
    /// As returned when it was created. An invalid ID is not found.
    #[param(rename = "endpointId", example = "whe_20260131090500042k3v9x0q2m7t1b8z")]
    endpoint_id: String,
}

/// The authorization in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct AuthorizationIdPath {
    /// As returned when it was created. An invalid ID is not found.
    #[param(rename = "authorizationId", example = "auth_20260131090500042k3v9x0q2m7t1b8z")]
    authorization_id: String,
}

/// The webhook delivery in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct DeliveryIdPath {
    /// As in a list of deliveries. An invalid ID is not found.
    #[param(
        rename = "deliveryId",
        example = "20260131090500042k3v9x0q2m7t1b8z-whe_20260131090500042k3v9x0q2m7t1b8z"
    )]
    delivery_id: String,
}

/// The last event that the client received.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct LastEventIdHeader {
    /// The `id` of the last event received; it is not sent again.
    #[param(rename = "Last-Event-ID", pattern = "^[!-~]*$", nullable = false)]
    last_event_id: Option<String>,
}

/// The same in the query, for clients that cannot set the header. The header takes precedence.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct LastEventIdQuery {
    /// As the header `Last-Event-ID`.
    #[param(rename = "lastEventId", nullable = false)]
    last_event_id: Option<String>,
}

/// Makes a creation idempotent.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct IdempotencyKeyHeader {
    /// Your identifier of this request, such as a UUID. If the request is repeated with the same body within 24 hours,
    /// it has no second effect and returns the first response.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$",
        nullable = false
    )]
    idempotency_key: Option<String>,
}

/// The client's version.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct IfNoneMatchHeader {
    /// The `ETag` of an earlier response.
    #[param(rename = "If-None-Match", example = "\"1\"", nullable = false)]
    if_none_match: Option<String>,
}

/// The version that the change is based on.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct IfMatchHeader {
    /// The body's `version`, in quotes: `"<version>"`. Another version: 400.
    #[param(rename = "If-Match", format = "if-match", example = "\"1\"", nullable = false)]
    if_match: Option<String>,
}

/// Filters of a list of connections.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct ListQuery {
    /// The exact name, ignoring spaces at both ends. Finds at most one connection.
    #[param(example = "Test Vimeo Connection", nullable = false)]
    name: Option<String>,
    /// Only connections with this health: `healthy`, `unhealthy` or `unverified`.
    #[param(pattern = "^(healthy|unhealthy|unverified)$", example = "unhealthy", nullable = false)]
    health: Option<String>,
}

/// A page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct PageQuery {
    /// Page size.
    #[param(minimum = 1, maximum = 1000, default = 1000, example = 50, nullable = false)]
    limit: Option<i32>,
    /// The `nextPageKey` of the previous page. An empty one means the first page.
    #[param(rename = "nextPageKey", format = "page-key", example = "", nullable = false)]
    next_page_key: Option<String>,
}
