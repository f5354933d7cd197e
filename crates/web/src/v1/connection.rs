//! The JSON of connections: parses request bodies and presents responses. Fields and rules are those of Part 1 of the
//! HTTP contract.

use domain::connection::{
    AccessToken, Availability, ClientIdentifier, ClientSecret, Connection, ConnectionChange, ConnectionDraft,
    ConnectionName, Credentials, Description, DescriptionChange,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::UnknownFields;
use crate::error::Problem;
use crate::fields::{Fields, IgnoredFields, Known};
use crate::json::{Json, Keep};

/// Which parts of a body are kept.
pub(super) const KEEP: Keep<'_> = Keep { raw: &[], known: Some(&KNOWN_FIELDS) };

/// All fields of a connection, including those that only the service sets.
pub(crate) static KNOWN_FIELDS: [&str; 11] = [
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

/// The `type` of every connection.
const CONNECTION_TYPE: &str = "VIMEO";

/// A new connection. Fields that only the service sets are ignored, so that a record can be sent to copy it. Unknown
/// fields are ignored and named in `X-Ignored-Fields`, unless one resembles a known field: that is an error.
#[derive(ToSchema)]
#[schema(as = NewConnection, rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "for its schema; a body is read field by field, so that all errors are reported at once"
)]
pub(crate) struct NewConnectionIn {
    /// Letters, marks and decimal digits of any script, spaces, `_` and `-`; not blank, no leading mark, no invisible
    /// characters. Normalised to Unicode NFC, then at most 100 characters. Unique in the account, ignoring spaces at
    /// both ends.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^(?=.*[^ ])[^\x00-\x1F!-,./:-@\[-^`{-\xA0]*$",
        format = "connection-name",
        example = "Test Vimeo Connection"
    )]
    name: String,
    /// `null` and the empty string count as not given.
    #[schema(
        max_length = 250,
        pattern = r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*$",
        example = "Testing Vimeo connection via API"
    )]
    description: Option<String>,
    /// `false`: stored, but not usable.
    enabled: bool,
    /// The client identifier of the customer's Vimeo app.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[!-~]+$",
        example = "your-vimeo-client-identifier"
    )]
    client_identifier: String,
    /// Never returned.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[!-~]+$",
        write_only,
        example = "your-vimeo-client-secret"
    )]
    client_secret: String,
    /// Never returned. A token of the same app, bound to a user, with the scopes that uploads need.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[!-~]+$",
        write_only,
        example = "your-vimeo-access-token"
    )]
    access_token: String,
}

/// An update of a connection. A field that is left out keeps its value. If one of the three credentials changes, all
/// three are verified with Vimeo first. Fields that only the service sets are ignored, so that a client can send back
/// what it received.
#[derive(ToSchema)]
#[schema(as = ConnectionChange, rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "for its schema; a body is read field by field, so that all errors are reported at once"
)]
pub(crate) struct ConnectionChangeIn {
    /// The version that the update is based on. If it is not the current one, nothing changes.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 1)]
    version: i64,
    /// As in a new connection.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^(?=.*[^ ])[^\x00-\x1F!-,./:-@\[-^`{-\xA0]*$",
        format = "connection-name",
        required = false,
        example = "Renamed"
    )]
    name: String,
    /// `null` and the empty string clear it.
    #[schema(max_length = 250, pattern = r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*$")]
    description: Option<String>,
    /// `false`: stored, but not usable.
    #[schema(required = false)]
    enabled: bool,
    /// The client identifier of another Vimeo app.
    #[schema(min_length = 1, max_length = 500, pattern = "^[!-~]+$", required = false)]
    client_identifier: String,
    /// The new secret of the app.
    #[schema(min_length = 1, max_length = 500, pattern = "^[!-~]+$", write_only, required = false)]
    client_secret: String,
    /// A new token.
    #[schema(min_length = 1, max_length = 500, pattern = "^[!-~]+$", write_only, required = false)]
    access_token: String,
}

/// A new connection.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreatedConnection)]
pub(crate) struct CreatedOut<'a> {
    #[schema(min_length = 1, max_length = 100, example = "Test Vimeo Connection")]
    name: &'a str,
    /// Omitted if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 250,
        example = "Testing Vimeo connection via API"
    )]
    description: Option<&'a str>,
    enabled: bool,
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[!-~]+$",
        example = "your-vimeo-client-identifier"
    )]
    client_identifier: &'a str,
    /// 17 digits of UTC time and 15 random characters. Clients should treat it as opaque.
    #[schema(pattern = "^[0-9]{17}[a-z0-9]{15}$", example = "20260131090500042k3v9x0q2m7t1b8z")]
    connection_id: &'a str,
    /// Starts at 1 and increases by one with every change.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 1)]
    version: u64,
}

/// A connection. Its client secret and access token are never returned.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Connection)]
pub(crate) struct ConnectionOut<'a> {
    /// 17 digits of UTC time and 15 random characters. Clients should treat it as opaque.
    #[schema(pattern = "^[0-9]{17}[a-z0-9]{15}$", example = "20260131090500042k3v9x0q2m7t1b8z")]
    connection_id: &'a str,
    #[schema(min_length = 1, max_length = 100, example = "Test Vimeo Connection")]
    name: &'a str,
    /// Omitted if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 250,
        example = "Testing Vimeo connection via API"
    )]
    description: Option<&'a str>,
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[!-~]+$",
        example = "your-vimeo-client-identifier"
    )]
    client_identifier: &'a str,
    /// Always `VIMEO`.
    #[schema(pattern = "^VIMEO$", example = "VIMEO")]
    r#type: &'static str,
    /// `false`: stored, but not usable.
    enabled: bool,
    /// ISO 8601 in UTC, with milliseconds.
    #[schema(format = DateTime, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", example = "2026-01-31T09:05:00.042Z")]
    created_date: String,
    /// Equal to `createdDate` until the first change.
    #[schema(format = DateTime, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", example = "2026-01-31T09:05:00.042Z")]
    updated_date: String,
    /// Starts at 1 and increases by one with every change.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 1)]
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
        let created_date = connection.created_at.to_string();
        // Most connections never change, and a page has many dates.
        let is_changed = connection.updated_at != connection.created_at;
        let updated_date = if is_changed { connection.updated_at.to_string() } else { created_date.clone() };
        Self {
            connection_id: connection.id.as_str(),
            name: connection.name.as_str(),
            description: connection.description.as_ref().map(Description::as_str),
            client_identifier: connection.client_identifier.as_str(),
            r#type: CONNECTION_TYPE,
            enabled: connection.availability.is_enabled(),
            created_date,
            updated_date,
            version: connection.version,
        }
    }
}

/// A page of connections, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionPage)]
pub(crate) struct ConnectionsOut<'a> {
    #[serde(rename = "Items")]
    pub(crate) items: Vec<ConnectionOut<'a>>,
    /// Requests the next page; omitted on the last page.
    #[serde(rename = "nextPageKey", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[A-Za-z0-9_-]+={0,2}$")]
    pub(crate) next_page_key: Option<String>,
}

/// Parses the body of a creation, or returns all its errors.
pub(crate) fn read_draft(
    object: Vec<(String, Json)>,
    unknown: UnknownFields,
) -> (Result<ConnectionDraft, Problem>, IgnoredFields) {
    let mut fields = Fields::new(object, Known::new(&KNOWN_FIELDS, unknown));
    let name = fields.required_text("name", ConnectionName::parse);
    let description = fields.optional_text("description", Description::parse);
    let enabled = fields.required_bool("enabled");
    let client_identifier = fields.required_text("clientIdentifier", ClientIdentifier::parse);
    let client_secret = fields.required_text("clientSecret", ClientSecret::parse);
    let access_token = fields.required_text("accessToken", AccessToken::parse);
    let (errors, ignored) = fields.finish();
    let draft = match (name, enabled, client_identifier, client_secret, access_token) {
        (Some(name), Some(enabled), Some(client_identifier), Some(client_secret), Some(access_token))
            if errors.is_empty() =>
        {
            let credentials = Credentials { client_identifier, client_secret, access_token };
            Ok(ConnectionDraft {
                name,
                description,
                availability: Availability::from_enabled(enabled),
                credentials,
            })
        }
        _ => Err(Problem::invalid_fields(errors)),
    };
    (draft, ignored)
}

/// Parses the body of an update, or returns all its errors.
pub(crate) fn read_change(
    object: Vec<(String, Json)>,
    unknown: UnknownFields,
) -> (Result<ConnectionChange, Problem>, IgnoredFields) {
    let mut fields = Fields::new(object, Known::new(&KNOWN_FIELDS, unknown));
    let name = fields.changed_text("name", ConnectionName::parse);
    let is_described = fields.is_present("description");
    let description = fields.optional_text("description", Description::parse);
    let enabled = fields.changed_bool("enabled");
    let client_identifier = fields.changed_text("clientIdentifier", ClientIdentifier::parse);
    let client_secret = fields.changed_text("clientSecret", ClientSecret::parse);
    let access_token = fields.changed_text("accessToken", AccessToken::parse);
    let version = fields.required_version("version");
    let (errors, ignored) = fields.finish();
    let Some(expected_version) = version.filter(|_| errors.is_empty()) else {
        return (Err(Problem::invalid_fields(errors)), ignored);
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
