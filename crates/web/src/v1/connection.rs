//! A connection on the wire: how bodies are read and answers written. Forms and rules are those of the HTTP contract,
//! Part 1.

use domain::connection::{
    AccessToken, Availability, ClientIdentifier, ClientSecret, Connection, ConnectionChange, ConnectionDraft,
    ConnectionName, Credentials, Description, DescriptionChange,
};
use serde::Serialize;

use crate::UnknownFields;
use crate::body::{Fields, IgnoredFields};
use crate::error::Problem;
use crate::json::Json;

/// Every field of a connection, those that only the service sets included.
pub(crate) const KNOWN_FIELDS: [&str; 11] = [
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
pub(crate) struct CreatedOut<'a> {
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
pub(crate) struct ConnectionOut<'a> {
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

/// A page of connections.
#[derive(Serialize)]
pub(crate) struct ConnectionsOut<'a> {
    #[serde(rename = "Items")]
    pub(crate) items: Vec<ConnectionOut<'a>>,
    #[serde(rename = "nextPageKey", skip_serializing_if = "Option::is_none")]
    pub(crate) next_page_key: Option<String>,
}

/// The body of a creation: a draft, or every fault of it.
pub(crate) fn read_draft(
    object: Vec<(String, Json)>,
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

/// The body of an update: a change, or every fault of it.
pub(crate) fn read_change(
    object: Vec<(String, Json)>,
    unknown: UnknownFields,
) -> (Result<ConnectionChange, Problem>, IgnoredFields) {
    let mut fields = Fields::new(object);
    let name = fields.changed_text("name", ConnectionName::parse);
    let is_described = fields.is_given("description");
    let description = fields.optional_text("description", Description::parse);
    let enabled = fields.changed_bool("enabled");
    let client_identifier = fields.changed_text("clientIdentifier", ClientIdentifier::parse);
    let client_secret = fields.changed_text("clientSecret", ClientSecret::parse);
    let access_token = fields.changed_text("accessToken", AccessToken::parse);
    let version = fields.required_version("version");
    let (faults, ignored) = fields.finish(&KNOWN_FIELDS, unknown);
    let Some(expected_version) = version.filter(|_| faults.is_empty()) else {
        return (Err(Problem::faulty_fields(faults)), ignored);
    };
    let change = ConnectionChange {
        expected_version,
        name,
        description: match description {
            Some(description) => DescriptionChange::Replace(description),
            None if is_described => DescriptionChange::Clear,
            None => DescriptionChange::Keep,
        },
        availability: enabled.map(Availability::from_enabled),
        client_identifier,
        client_secret,
        access_token,
    };
    (Ok(change), ignored)
}
