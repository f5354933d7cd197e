//! The OpenAPI 3.1 description, generated from the routes and the table of errors.

mod headers;
mod parameters;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use domain::audit::Action;
use domain::scope::Scope;
use domain::webhook::EventType;
use serde_json::{Map, Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Type};

pub(crate) use parameters::*;

use crate::Shared;
use crate::error::Code;
use headers::{complete_headers, describe_rates, ignored_fields_header};

/// The name of the error schema.
const PROBLEM: &str = "Problem";
/// The name of the security scheme.
pub(crate) const API_KEY: &str = "apiKey";

/// The introduction of the document.
const INTRODUCTION: &str = "\
Stores customers' Vimeo app credentials, verified and encrypted, under names, and uploads videos with them. Send the API key unchanged: \
`Authorization: pictai_\u{2026}` (a preceding `Bearer` is accepted). Bodies are JSON in UTF-8. \
Every error is `{\"code\", \"message\"}` plus what its code adds: branch on `code`, show `message` to people. \
Routes of connections ignore unknown query parameters, and unknown fields unless one is a near miss of a known field; on all other routes both are errors. \
Every response has `X-Request-Id`: send it to the operator. HEAD works where GET does.";

macro_rules! error_responses {
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

error_responses! {
    /// Errors of creating a connection.
    CreateErrors: InvalidRequestBody, InvalidRequestHeader, Unauthorized, Forbidden, RequestTimeout, ConnectionNameExists,
        IdempotencyKeyInUse, BodyTooLarge, UnsupportedMediaType, InvalidVimeoCredentials, IdempotencyKeyReused,
        LimitReached, RateLimited, InternalError, VimeoUnavailable, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of updating a connection.
    UpdateErrors: InvalidRequestBody, InvalidRequestHeader, Unauthorized, Forbidden, ConnectionNotFound, RequestTimeout,
        ConnectionNameExists, VersionConflict, BodyTooLarge, UnsupportedMediaType, InvalidVimeoCredentials,
        RateLimited, InternalError, VimeoUnavailable, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of deleting a connection.
    DeleteErrors: Unauthorized, Forbidden, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of a list.
    ListErrors: InvalidQuery, InvalidPageKey, Unauthorized, Forbidden, RateLimited, InternalError, StoreUnavailable, Overloaded;
    /// Errors of getting a connection.
    GetErrors: Unauthorized, Forbidden, ConnectionNotFound, RateLimited, InternalError, StoreUnavailable, Overloaded;
    /// Errors of getting the health of a connection.
    HealthErrors: InvalidQuery, Unauthorized, Forbidden, ConnectionNotFound, RateLimited, InternalError, StoreUnavailable, Overloaded;
    /// Errors of checking a connection.
    VerifyErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, ConnectionNotFound, RequestTimeout, BodyTooLarge,
        UnsupportedMediaType, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of exporting audit events.
    ExportErrors: InvalidQuery, Unauthorized, Forbidden, RateLimited, InternalError, StoreUnavailable, Overloaded;
    /// Errors of reading something that always exists.
    ReadErrors: InvalidQuery, Unauthorized, RateLimited, InternalError, StoreUnavailable, Overloaded;
    /// Errors of creating an upload.
    UploadErrors: InvalidRequestBody, InvalidQuery, InvalidRequestHeader, Unauthorized, Forbidden, ConnectionNotFound, RequestTimeout,
        ConnectionDisabled, ConnectionUnhealthy, WebhookSecretMissing, IdempotencyKeyInUse, UploadOver, BodyTooLarge, UnsupportedMediaType, UploadRefused,
        IdempotencyKeyReused, LimitReached, RateLimited, InternalError, VimeoUnavailable, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of getting a job.
    GetJobErrors: InvalidQuery, Unauthorized, Forbidden, JobNotFound, RateLimited, InternalError, StoreUnavailable, Overloaded;
    /// Errors of watching a job.
    WatchJobErrors: InvalidQuery, Unauthorized, Forbidden, JobNotFound, LimitReached, RateLimited, InternalError, StoreUnavailable, Overloaded;
    /// Errors of cancelling an upload.
    CancelErrors: InvalidQuery, Unauthorized, Forbidden, JobNotFound, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of changing a job.
    UpdateJobErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, JobNotFound, RequestTimeout, JobNotReschedulable,
        BodyTooLarge, UnsupportedMediaType, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of retrying an upload.
    RetryErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, ConnectionNotFound, JobNotFound, RequestTimeout,
        ConnectionDisabled, ConnectionUnhealthy, WebhookSecretMissing, JobNotFailed, JobNotRetryable, JobAlreadyRetried, BodyTooLarge,
        UnsupportedMediaType, LimitReached, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of creating a webhook secret.
    SecretErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, RequestTimeout, BodyTooLarge,
        UnsupportedMediaType, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of creating an API key.
    CreateKeyErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, RequestTimeout, BodyTooLarge,
        UnsupportedMediaType, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of getting an API key.
    GetKeyErrors: InvalidQuery, Unauthorized, Forbidden, ApiKeyNotFound, RateLimited, InternalError, StoreUnavailable, Overloaded;
    /// Errors of renaming an API key.
    RenameKeyErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, ApiKeyNotFound, RequestTimeout,
        ApiKeyNotActive, BodyTooLarge, UnsupportedMediaType, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of rotating an API key.
    RotateKeyErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, ApiKeyNotFound, RequestTimeout,
        ApiKeyNotActive, BodyTooLarge, UnsupportedMediaType, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of revoking an API key.
    RevokeKeyErrors: InvalidQuery, Unauthorized, Forbidden, ApiKeyNotFound, LastManagingKey, RateLimited, InternalError,
        StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of creating a webhook endpoint.
    CreateEndpointErrors: InvalidRequestBody, InvalidQuery, InvalidRequestHeader, Unauthorized, Forbidden, RequestTimeout,
        IdempotencyKeyInUse, BodyTooLarge, UnsupportedMediaType, IdempotencyKeyReused, LimitReached, RateLimited,
        InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of getting a webhook endpoint.
    GetEndpointErrors: InvalidQuery, Unauthorized, Forbidden, WebhookEndpointNotFound, RateLimited, InternalError,
        StoreUnavailable, Overloaded;
    /// Errors of listing the deliveries of a webhook endpoint.
    ListEndpointErrors: InvalidQuery, InvalidPageKey, Unauthorized, Forbidden, WebhookEndpointNotFound, RateLimited,
        InternalError, StoreUnavailable, Overloaded;
    /// Errors of updating a webhook endpoint.
    UpdateEndpointErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, WebhookEndpointNotFound, RequestTimeout,
        BodyTooLarge, UnsupportedMediaType, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of deleting a webhook endpoint.
    DeleteEndpointErrors: InvalidQuery, Unauthorized, Forbidden, WebhookEndpointNotFound, RateLimited, InternalError,
        StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of rotating the secret of a webhook endpoint.
    RotateEndpointErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, WebhookEndpointNotFound, RequestTimeout,
        BodyTooLarge, UnsupportedMediaType, RateLimited, InternalError, StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of testing a webhook endpoint.
    TestEndpointErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, WebhookEndpointNotFound, RequestTimeout,
        WebhookEndpointDisabled, BodyTooLarge, UnsupportedMediaType, RateLimited, InternalError, StoreUnavailable, Overloaded,
        OutcomeUnknown;
    /// Errors of sending a webhook again.
    RedeliverErrors: InvalidRequestBody, InvalidQuery, Unauthorized, Forbidden, WebhookDeliveryNotFound, RequestTimeout,
        WebhookEndpointDisabled, WebhookNotRedeliverable, BodyTooLarge, UnsupportedMediaType, RateLimited, InternalError,
        StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of creating an authorization.
    CreateAuthorizationErrors: InvalidRequestBody, InvalidQuery, InvalidRequestHeader, Unauthorized, Forbidden, ConnectionNotFound,
        RequestTimeout, ConnectionNameExists, PublicUrlMissing, IdempotencyKeyInUse, BodyTooLarge, UnsupportedMediaType,
        InvalidVimeoCredentials, IdempotencyKeyReused, LimitReached, RateLimited, InternalError, VimeoUnavailable,
        StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of getting an authorization.
    GetAuthorizationErrors: InvalidQuery, Unauthorized, Forbidden, AuthorizationNotFound, RateLimited, InternalError,
        StoreUnavailable, Overloaded;
    /// Errors of withdrawing an authorization.
    WithdrawAuthorizationErrors: InvalidQuery, Unauthorized, Forbidden, AuthorizationNotFound, RateLimited, InternalError,
        StoreUnavailable, Overloaded, OutcomeUnknown;
    /// Errors of the readiness check.
    ReadyErrors: InternalError, NotReady;
}

/// The responses for these codes: one per status, with an example for each code.
fn describe(codes: &[Code]) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let mut by_status: BTreeMap<String, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_str().to_owned()).or_default().push(*code);
    }
    let response = |codes: Vec<Code>| {
        let names: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.name(), code.help())).collect();
        let examples = codes.iter().map(|code| {
            (code.name(), ExampleBuilder::new().summary(code.message()).value(Some(code.example())).build())
        });
        let schema = Ref::from_schema_name(PROBLEM);
        let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
        let mut response =
            ResponseBuilder::new().description(names.join("\n\n")).content("application/json", content);
        for (name, description) in headers_for(&codes) {
            let schema = ObjectBuilder::new().schema_type(Type::String);
            let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
            response = response.header(name, header);
        }
        RefOr::T(response.build())
    };
    by_status.into_iter().map(|(status, codes)| (status, response(codes))).collect()
}

fn headers_for(codes: &[Code]) -> Vec<(&'static str, &'static str)> {
    let mut headers = Vec::new();
    if codes.iter().any(|code| code.has_retry_after()) {
        headers.push(("Retry-After", "Seconds to wait before retrying."));
    }
    if codes.contains(&Code::Unauthorized) {
        headers.push(("WWW-Authenticate", "How to send an API key: the same for every cause."));
    }
    headers
}

/// The document without the routes.
pub(crate) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("vimeo-connections")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(INTRODUCTION))
        .build();
    OpenApiBuilder::new().info(info).build()
}

/// The complete document as JSON.
pub(crate) fn finish(openapi: &OpenApi) -> Value {
    // Serialising the document cannot fail.
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
    forbid_additional_properties(&mut document);
    list_values(&mut document);
    for operation in operations_mut(&mut document) {
        // The macro generates one empty alternative; an empty list is more common.
        if operation.get("security") == Some(&json!([{}])) {
            operation.insert("security".to_owned(), json!([]));
        }
        // Only the bodies of Part 1 may have unknown fields.
        let tag = operation.get("tags").and_then(|tags| tags.pointer("/0")).and_then(Value::as_str);
        let reports_ignored = operation.contains_key("requestBody") && tag == Some("Connections");
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        for (status, response) in responses.into_iter().flatten() {
            complete_headers(status, response);
            // These errors occur after the body was parsed, so fields may have been ignored.
            let may_ignore =
                reports_ignored && matches!(status.as_str(), "400" | "404" | "409" | "422" | "503");
            let headers = response.get_mut("headers").and_then(Value::as_object_mut);
            if let Some(headers) = headers.filter(|_| may_ignore) {
                headers.insert("X-Ignored-Fields".to_owned(), ignored_fields_header());
            }
        }
        if operation.get("security") != Some(&json!([])) {
            describe_rates(operation);
        }
    }
    document
}

/// Responses, and request bodies of Part 2, have only the described fields.
fn forbid_additional_properties(document: &mut Value) {
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    let closed = [
        "AcceptedJob",
        "AcceptedUpload",
        "ApiKeyPage",
        "ApiKeyRotation",
        "AuthorizationPage",
        "AuthorizedVimeoAccount",
        "Connection",
        "ConnectionPage",
        "CreatedConnection",
        "Health",
        "Identity",
        "Job",
        "JobData",
        "JobPage",
        "LinkedJob",
        "NewApiKey",
        "NewAuthorization",
        "NewUpload",
        "NewWebhookEndpoint",
        "Readiness",
        "ReadinessCheck",
        "RenamedApiKey",
        "UploadDestination",
        "UploadLink",
        "UploadPrivacy",
        "UploadSource",
        "WebhookDelivery",
        "WebhookDeliveryPage",
        "WebhookEndpointChange",
        "WebhookEndpointPage",
        "WebhookSecret",
    ];
    for (name, schema) in schemas.into_iter().flatten() {
        if let Some(schema) = schema.as_object_mut().filter(|_| closed.contains(&name.as_str())) {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
    }
}

/// Lists the values of what is a name of ours: scopes and types of events in requests, and audited actions.
fn list_values(document: &mut Value) {
    if let Some(scopes) = document.pointer_mut("/components/schemas/NewApiKey/properties/scopes/items") {
        scopes["enum"] = json!(Scope::ALL.map(Scope::as_str));
    }
    for name in ["NewWebhookEndpoint", "WebhookEndpointChange"] {
        let events = format!("/components/schemas/{name}/properties/events/items");
        if let Some(events) = document.pointer_mut(&events) {
            events["enum"] = json!(EventType::ALL.map(EventType::as_str));
        }
    }
    for operation in operations_mut(document) {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            let is_action = parameter.get("name").is_some_and(|name| name == "action");
            if let Some(schema) = parameter.get_mut("schema").filter(|_| is_action) {
                schema["enum"] = json!(Action::ALL.map(Action::as_str).to_vec());
            }
        }
    }
}

fn operations_mut(document: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut);
    items.flat_map(Map::values_mut).filter_map(Value::as_object_mut)
}

fn tags() -> Value {
    json!([
        { "name": "Connections", "description": "Customers' Vimeo app credentials, under a name." },
        { "name": "Authorizations", "description": "Asking people for their permission, instead of copying access tokens." },
        { "name": "Uploads", "description": "Uploads of videos to the Vimeo account of a connection." },
        { "name": "Webhooks", "description": "Where the events of the account are sent, and what was sent." },
        { "name": "Keys", "description": "API keys." },
        { "name": "Audit", "description": "Who did what to which record, and when." },
        { "name": "Service", "description": "The service itself; no API key is needed." },
    ])
}

fn security_scheme() -> Value {
    json!({
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The API key, `pictai_\u{2026}`, optionally after `Bearer`. Each operation names the scope that the key must have.",
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
            "jobId": { "type": "string", "format": "uuid", "description": "The job that repeats the one in the request, or the job of an upload that has ended." },
            "problem": { "$ref": "#/components/schemas/HealthProblem" },
            "limit": { "type": "string", "description": "The limit that is reached." },
            "value": { "type": "integer", "minimum": 1, "description": "The value of that limit." },
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

/// This description
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "Service", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = serde_json::Value)),
)]
pub(crate) async fn openapi_json(State(shared): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "application/json")], shared.openapi.clone()).into_response()
}
