//! The description of the API, OpenAPI 3.1: made from the declarations that route, and from the table of errors.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Type};
use utoipa::{IntoParams, IntoResponses};

use crate::Shared;
use crate::error::Code;

/// The schema of every error.
const PROBLEM: &str = "Problem";
/// The name of the security scheme.
const API_KEY: &str = "apiKey";

/// The introduction of the description.
const INTRODUCTION: &str = "\
Stores customers' Vimeo app credentials, verified and encrypted, under a name, and uploads videos with them. Send the API key as it is: \
`Authorization: pictai_\u{2026}` (`Bearer` before it is accepted too). Bodies are JSON in UTF-8. \
Every error is `{\"code\", \"message\"}` and what its code adds: branch on `code`, show `message` to a person. \
Routes of connections ignore unknown fields, unless one is a near miss of a known field, and unknown query parameters; every other route refuses both. \
Every response has `X-Request-Id`: send it to the operator. HEAD works where GET does.";

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($code:ident),+;)+) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
                    describe(&[$(Code::$code),+])
                }
            }
        )+
    };
}

refusals! {
    /// How a creation is refused.
    CreateRefusals: InvalidRequestBody, InvalidRequestHeader, Unauthorized, RequestTimeout, ConnectionNameExists,
        IdempotencyKeyInUse, BodyTooLarge, UnsupportedMediaType, InvalidVimeoCredentials, IdempotencyKeyReused,
        InternalError, VimeoUnavailable, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// How an update is refused.
    UpdateRefusals: InvalidRequestBody, InvalidRequestHeader, Unauthorized, ConnectionNotFound, RequestTimeout,
        ConnectionNameExists, VersionConflict, BodyTooLarge, UnsupportedMediaType, InvalidVimeoCredentials,
        InternalError, VimeoUnavailable, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// How a deletion is refused.
    DeleteRefusals: Unauthorized, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// How a list is refused.
    ListRefusals: InvalidQuery, InvalidPageKey, Unauthorized, InternalError, StoreUnavailable;
    /// How reading one is refused.
    GetRefusals: Unauthorized, ConnectionNotFound, InternalError, StoreUnavailable;
    /// How reading what always exists is refused.
    ReadRefusals: InvalidQuery, Unauthorized, InternalError, StoreUnavailable;
    /// How an upload is refused.
    UploadRefusals: InvalidRequestBody, InvalidQuery, InvalidRequestHeader, Unauthorized, ConnectionNotFound, RequestTimeout,
        ConnectionDisabled, WebhookSecretMissing, IdempotencyKeyInUse, UploadOver, BodyTooLarge, UnsupportedMediaType, UploadRefused,
        IdempotencyKeyReused, InternalError, VimeoUnavailable, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// How reading a job is refused.
    GetJobRefusals: InvalidQuery, Unauthorized, JobNotFound, InternalError, StoreUnavailable;
    /// How watching a job is refused.
    WatchJobRefusals: InvalidQuery, Unauthorized, JobNotFound, InternalError, StoreUnavailable;
    /// How a cancellation is refused.
    CancelRefusals: InvalidQuery, Unauthorized, JobNotFound, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// How a new secret is refused.
    SecretRefusals: InvalidRequestBody, InvalidQuery, Unauthorized, RequestTimeout, BodyTooLarge,
        UnsupportedMediaType, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// How the service reports that it is not ready.
    ReadyRefusals: InternalError, NotReady;
}

/// The responses of some codes: one for each status, with an example for each code.
fn describe(codes: &[Code]) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let mut by_status: BTreeMap<String, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_str().to_owned()).or_default().push(*code);
    }
    let response = |codes: Vec<Code>| {
        let names: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.name(), code.when())).collect();
        let examples = codes.iter().map(|code| {
            (code.name(), ExampleBuilder::new().summary(code.message()).value(Some(code.example())).build())
        });
        let schema = Ref::from_schema_name(PROBLEM);
        let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
        let mut response =
            ResponseBuilder::new().description(names.join("\n\n")).content("application/json", content);
        for (name, description) in headers_of(&codes) {
            let schema = ObjectBuilder::new().schema_type(Type::String);
            let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
            response = response.header(name, header);
        }
        RefOr::T(response.build())
    };
    by_status.into_iter().map(|(status, codes)| (status, response(codes))).collect()
}

fn headers_of(codes: &[Code]) -> Vec<(&'static str, &'static str)> {
    let mut headers = Vec::new();
    if codes.iter().any(|code| code.says_when_to_retry()) {
        headers.push(("Retry-After", "Seconds to wait before retrying."));
    }
    if codes.contains(&Code::Unauthorized) {
        headers.push(("WWW-Authenticate", "How to send an API key: the same for every cause."));
    }
    headers
}

/// The connection that is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct ConnectionIdPath {
    /// As the creation returned it. An identifier that the service cannot have made is not found.
    #[param(rename = "connectionId", example = "20260131090500042k3v9x0q2m7t1b8z")]
    connection_id: String,
}

/// The job that is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct JobIdPath {
    /// As the response to the upload returned it. An identifier that the service cannot have made is not found.
    #[param(rename = "jobId", example = "019c1234-5678-7abc-8def-0123456789ab")]
    job_id: String,
}

/// The event that the client saw last.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct LastEventIdHeader {
    /// The `id` of the last event that was received: it is not sent again.
    #[param(rename = "Last-Event-ID", pattern = "^[!-~]*$", nullable = false)]
    last_event_id: Option<String>,
}

/// The same in the query, for clients that cannot set the header. The header counts if both are given.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct LastEventIdQuery {
    /// As the header `Last-Event-ID`.
    #[param(rename = "lastEventId", nullable = false)]
    last_event_id: Option<String>,
}

/// Makes a creation safe to repeat.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct IdempotencyKeyHeader {
    /// Your identifier of this request, such as a UUID. Sent again with the same body within 24 hours, the request has no
    /// second effect and gets the first response.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$",
        nullable = false
    )]
    idempotency_key: Option<String>,
}

/// The version that the client has.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct IfNoneMatchHeader {
    /// The `ETag` of an earlier response.
    #[param(rename = "If-None-Match", example = "\"1\"", nullable = false)]
    if_none_match: Option<String>,
}

/// The version that the change was made from.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct IfMatchHeader {
    /// The body's `version`, in quotes: `"<version>"`. Another version: 400.
    #[param(rename = "If-Match", format = "if-match", example = "\"1\"", nullable = false)]
    if_match: Option<String>,
}

/// Which connections.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct ListQuery {
    /// Page size.
    #[param(minimum = 1, maximum = 1000, default = 1000, example = 50, nullable = false)]
    limit: Option<i32>,
    /// The `nextPageKey` of the previous page. An empty one means the first page.
    #[param(rename = "nextPageKey", format = "page-key", example = "", nullable = false)]
    next_page_key: Option<String>,
    /// The exact name; spaces at the ends do not count. Finds one connection or none.
    #[param(example = "Test Vimeo Connection", nullable = false)]
    name: Option<String>,
}

/// Which jobs.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(crate) struct JobsQuery {
    /// Page size.
    #[param(minimum = 1, maximum = 1000, default = 1000, example = 50, nullable = false)]
    limit: Option<i32>,
    /// The `nextPageKey` of the previous page. An empty one means the first page.
    #[param(rename = "nextPageKey", format = "page-key", example = "", nullable = false)]
    next_page_key: Option<String>,
    /// Only jobs of this connection.
    #[param(rename = "connectionId", example = "20260131090500042k3v9x0q2m7t1b8z", nullable = false)]
    connection_id: Option<String>,
}

/// What the description begins with, before routes are added.
pub(crate) fn beginning() -> OpenApi {
    let info = InfoBuilder::new()
        .title("vimeo-connections")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(INTRODUCTION))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// The whole description, as JSON.
pub(crate) fn finish(openapi: &OpenApi) -> Value {
    // A document of our own making, of texts and maps: it always is JSON.
    let mut document = serde_json::to_value(openapi).unwrap_or_default();
    if let Some(document) = document.as_object_mut() {
        document.insert("security".to_owned(), json!([{ API_KEY: [] }]));
        document.insert("servers".to_owned(), json!([{ "url": "/" }]));
        document.insert("tags".to_owned(), tags());
    }
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("securitySchemes".to_owned(), json!({ API_KEY: security_scheme() }));
        if let Some(schemas) = components.get_mut("schemas").and_then(Value::as_object_mut) {
            schemas.insert(PROBLEM.to_owned(), problem_schema());
        }
    }
    close_objects(&mut document);
    for operation in every_operation(&mut document) {
        // The macro says it by one empty alternative; readers know the empty list better.
        if operation.get("security") == Some(&json!([{}])) {
            operation.insert("security".to_owned(), json!([]));
        }
        // Part 1's own bodies alone may have unknown fields.
        let tag = operation.get("tags").and_then(|tags| tags.pointer("/0")).and_then(Value::as_str);
        let reports_ignored = operation.contains_key("requestBody") && tag == Some("Connections");
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        for (status, response) in responses.into_iter().flatten() {
            complete_headers(status, response);
            // Refused after the body was read: fields may have been ignored.
            let may_ignore =
                reports_ignored && matches!(status.as_str(), "400" | "404" | "409" | "422" | "503");
            let headers = response.get_mut("headers").and_then(Value::as_object_mut);
            if let Some(headers) = headers.filter(|_| may_ignore) {
                headers.insert("X-Ignored-Fields".to_owned(), ignored_fields_header());
            }
        }
    }
    document
}

/// Answers have no other fields than are described, and neither may the bodies of Part 2.
fn close_objects(document: &mut Value) {
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    let closed = [
        "AcceptedJob",
        "AcceptedUpload",
        "Connection",
        "ConnectionPage",
        "CreatedConnection",
        "Health",
        "Identity",
        "Job",
        "JobData",
        "JobPage",
        "LinkedJob",
        "NewUpload",
        "Readiness",
        "ReadinessCheck",
        "UploadDestination",
        "UploadLink",
        "UploadPrivacy",
        "UploadSource",
        "WebhookSecret",
    ];
    for (name, schema) in schemas.into_iter().flatten() {
        if let Some(schema) = schema.as_object_mut().filter(|_| closed.contains(&name.as_str())) {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
    }
}

/// Every answer has the headers that all have, and some headers are always there.
fn complete_headers(status: &str, response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    let Some(headers) = headers.as_object_mut() else { return };
    for (name, header) in headers.iter_mut() {
        let is_always_there = match name.as_str() {
            "Location" | "ETag" | "WWW-Authenticate" | "X-Accel-Buffering" => true,
            "Retry-After" => status == "503",
            _ => false,
        };
        if let Some(header) = header.as_object_mut().filter(|_| is_always_there) {
            header.insert("required".to_owned(), json!(true));
        }
    }
    headers.insert("X-Request-Id".to_owned(), request_id_header());
    headers.insert("Cache-Control".to_owned(), cache_control_header());
}

fn every_operation(document: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut);
    items.flat_map(Map::values_mut).filter_map(Value::as_object_mut)
}

fn tags() -> Value {
    json!([
        { "name": "Connections", "description": "Customers' Vimeo app credentials, under a name." },
        { "name": "Uploads", "description": "Uploads of videos to the Vimeo account of a connection." },
        { "name": "Keys", "description": "API keys." },
        { "name": "Service", "description": "The service itself; no API key is needed." },
    ])
}

fn security_scheme() -> Value {
    json!({
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The API key as it is, `pictai_\u{2026}`, or after `Bearer`.",
    })
}

fn problem_schema() -> Value {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    json!({
        "type": "object",
        "description": "An error.",
        "required": ["code", "message"],
        "properties": {
            "code": { "type": "string", "enum": codes, "description": "What to branch on." },
            "message": { "type": "string", "description": "One sentence for a person." },
            "fields": {
                "type": "array",
                "description": "Every invalid field, parameter or header at once.",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["name", "errors"],
                    "properties": { "name": { "type": "string" }, "errors": { "type": "string" } },
                    "additionalProperties": false,
                },
            },
            "currentVersion": { "type": "integer", "minimum": 1, "description": "The connection's current version." },
            "checks": {
                "type": "array",
                "description": "Every check of readiness.",
                "items": { "$ref": "#/components/schemas/ReadinessCheck" },
            },
            "requestId": { "type": "string", "description": "What to send to the operator." },
        },
        "additionalProperties": false,
    })
}

fn request_id_header() -> Value {
    json!({
        "description": "The request's own ID if it is `[A-Za-z0-9._-]{1,64}`, else a new one.",
        "required": true,
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
    })
}

fn ignored_fields_header() -> Value {
    json!({ "description": "Names of fields that were ignored, up to 20.", "schema": { "type": "string" } })
}

fn cache_control_header() -> Value {
    json!({ "description": "Always `no-store`.", "required": true, "schema": { "type": "string", "const": "no-store" } })
}

/// This description
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "Service", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = serde_json::Value)),
)]
pub(crate) async fn openapi_json(State(shared): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "application/json")], shared.openapi.clone()).into_response()
}
