//! Connections over HTTP. The wire types are those of the HTTP contract, Part 1.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::connection::{
    AccessToken, Availability, ClientIdentifier, ClientSecret, Connection, ConnectionDraft, ConnectionName,
    Credentials, Description,
};
use domain::id::ConnectionId;
use serde::Serialize;

use crate::auth::Authenticated;
use crate::body::{Fields, IgnoredFields, read_object};
use crate::error::{Code, Problem};
use crate::json::Json as JsonValue;
use crate::{Shared, UnknownFields};

/// Every field of a connection, those that only the service sets included.
const KNOWN_FIELDS: [&str; 11] = [
    "name",
    "description",
    "enabled",
    "clientIdentifier",
    "clientSecret",
    "accessToken",
    "connectionId",
    "type",
    "createdDate",
    "updatedDate",
    "version",
];

/// `type` is the same for every connection.
const CONNECTION_TYPE: &str = "VIMEO";

/// The answer to a creation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreatedOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    enabled: bool,
    client_identifier: &'a str,
    connection_id: &'a str,
    version: u64,
}

/// A connection.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionOut<'a> {
    connection_id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    client_identifier: &'a str,
    r#type: &'static str,
    enabled: bool,
    created_date: String,
    updated_date: String,
    version: u64,
}

impl<'a> From<&'a Connection> for CreatedOut<'a> {
    fn from(connection: &'a Connection) -> Self {
        Self {
            name: connection.name.as_str(),
            description: connection.description.as_ref().map(Description::as_str),
            enabled: connection.availability.is_enabled(),
            client_identifier: connection.client_identifier.as_str(),
            connection_id: connection.id.as_str(),
            version: connection.version,
        }
    }
}

impl<'a> From<&'a Connection> for ConnectionOut<'a> {
    fn from(connection: &'a Connection) -> Self {
        Self {
            connection_id: connection.id.as_str(),
            name: connection.name.as_str(),
            description: connection.description.as_ref().map(Description::as_str),
            client_identifier: connection.client_identifier.as_str(),
            r#type: CONNECTION_TYPE,
            enabled: connection.availability.is_enabled(),
            created_date: connection.created_at.to_string(),
            updated_date: connection.updated_at.to_string(),
            version: connection.version,
        }
    }
}

/// `POST /v1/vimeo-connections`.
pub(crate) async fn create_connection(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    request: Request,
) -> Result<Response, Problem> {
    let object = read_object(request).await?;
    let (draft, ignored) = read_draft(object, shared.settings.unknown_fields);
    let created = match draft {
        Ok(draft) => shared.app.create_connection(&caller, draft).await.map_err(Problem::from),
        Err(faults) => Err(faults),
    };
    let mut response = match created {
        Ok(connection) => {
            let location = format!("{}/v1/vimeo-connections/{}", shared.settings.base_path, connection.id);
            let mut response = (StatusCode::CREATED, Json(CreatedOut::from(&connection))).into_response();
            insert_header(&mut response, LOCATION, &location);
            response
        }
        Err(problem) => problem.into_response(),
    };
    ignored.report(&mut response);
    Ok(response)
}

/// The body of a creation: a draft, or every fault of it.
fn read_draft(
    object: Vec<(String, JsonValue)>,
    unknown: UnknownFields,
) -> (Result<ConnectionDraft, Problem>, IgnoredFields) {
    let mut fields = Fields::new(object);
    let name = fields.required_text("name", ConnectionName::parse);
    let description = fields.optional_text("description", Description::parse);
    let enabled = fields.required_bool("enabled");
    let client_identifier = fields.required_text("clientIdentifier", ClientIdentifier::parse);
    let client_secret = fields.required_text("clientSecret", ClientSecret::parse);
    let access_token = fields.required_text("accessToken", AccessToken::parse);
    let (faults, ignored) = fields.finish(&KNOWN_FIELDS, unknown);
    let draft = match (name, enabled, client_identifier, client_secret, access_token) {
        (Some(name), Some(enabled), Some(client_identifier), Some(client_secret), Some(access_token))
            if faults.is_empty() =>
        {
            let credentials = Credentials { client_identifier, client_secret, access_token };
            Ok(ConnectionDraft {
                name,
                description,
                availability: Availability::from_enabled(enabled),
                credentials,
            })
        }
        _ => Err(Problem::faulty_fields(faults)),
    };
    (draft, ignored)
}

/// `GET /v1/vimeo-connections/{connectionId}`.
pub(crate) async fn get_connection(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = id.ok().and_then(|Path(id)| ConnectionId::parse(&id)).ok_or(Code::ConnectionNotFound)?;
    let connection = shared.app.find_connection(&caller, &id).await?;
    let mut response = if has_version(&headers, connection.version) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(ConnectionOut::from(&connection)).into_response()
    };
    insert_header(&mut response, ETAG, &format!("\"{}\"", connection.version));
    Ok(response)
}

/// Whether `If-None-Match` says that the client has this version; weak tags count, as RFC 9110 wants it.
fn has_version(headers: &HeaderMap, version: u64) -> bool {
    let ours = format!("\"{version}\"");
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == ours)
}

fn insert_header(response: &mut Response, name: axum::http::HeaderName, value: &str) {
    // The values are paths and versions of our own making: always a header's value.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
