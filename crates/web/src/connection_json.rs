//! Connections as JSON for the command line, with the rules and messages of the HTTP API.

use std::fmt;

use domain::connection::{Availability, Connection, ConnectionChange, ConnectionDraft, ConnectionName};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::UnknownFields;
use crate::error::{FieldError, Problem, credential_errors};
use crate::fields::{Fields, Known};
use crate::json::{self, Json, Number};
use crate::v1::connection::{ConnectionOut, KNOWN_FIELDS, read_change, read_draft};
use crate::v1::connection_health::ConnectionHealthOut;

/// Fields of a credentials file.
static CREDENTIAL_FIELDS: [&str; 3] = ["clientIdentifier", "clientSecret", "accessToken"];
/// Fields that clients set.
const CLIENT_FIELDS: [&str; 6] =
    ["name", "description", "enabled", "clientIdentifier", "clientSecret", "accessToken"];
/// Required columns of a table of connections.
const REQUIRED_COLUMNS: [&str; 4] = ["name", "clientIdentifier", "clientSecret", "accessToken"];

/// A connection as the API presents it: nine fields in their order.
pub fn present(connection: &Connection) -> impl Serialize + '_ {
    ConnectionOut::from(connection)
}

/// The health of a connection as the API presents it.
pub fn present_health(report: &app::ConnectionReport) -> impl Serialize + '_ {
    ConnectionHealthOut::from(report)
}

/// Vimeo's reasons for rejecting credentials, with the names of the fields.
pub fn rejected_credentials(problems: &[app::CredentialProblem]) -> RecordErrors {
    credential_errors(problems).into()
}

/// All errors of a record, as the end of a sentence. Contains no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordErrors(String);

impl fmt::Display for RecordErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RecordErrors {}

impl From<Vec<FieldError>> for RecordErrors {
    fn from(errors: Vec<FieldError>) -> Self {
        let texts: Vec<_> = errors.iter().map(|error| format!("{} {}", error.name, error.errors)).collect();
        Self(texts.join("; "))
    }
}

impl From<Problem> for RecordErrors {
    fn from(problem: Problem) -> Self {
        problem.fields.into()
    }
}

/// The fields of a connection from a file or a table.
#[derive(Default)]
pub struct ConnectionRecord(Vec<(String, Json)>);

impl ConnectionRecord {
    /// Parses a JSON object, as strictly as a request body.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordErrors> {
        let record_error = |text: String| {
            let text = text.strip_prefix("The request body ").unwrap_or(&text);
            RecordErrors(text.trim_end_matches('.').to_owned())
        };
        match json::parse(bytes).map_err(record_error)? {
            Json::Object(object) => Ok(Self(object)),
            _ => Err(RecordErrors("must be a JSON object".to_owned())),
        }
    }

    /// Parses a JSON object that contains only credentials.
    pub fn parse_credentials(bytes: &[u8]) -> Result<Self, RecordErrors> {
        let record = Self::parse(bytes)?;
        let names = record.0.iter().map(|(name, _)| (name.clone(), Json::Null)).collect();
        let (errors, _) = Fields::new(names, Known::new(&CREDENTIAL_FIELDS, UnknownFields::Reject)).finish();
        if errors.is_empty() { Ok(record) } else { Err(errors.into()) }
    }

    /// A row of a table. Empty cells are absent fields.
    pub fn from_row(cells: impl Iterator<Item = (String, Zeroizing<String>)>) -> Self {
        let filled = cells.filter(|(_, cell)| !cell.is_empty());
        Self(filled.map(|(name, cell)| (name.clone(), read_cell(&name, cell))).collect())
    }

    /// Adds a text unless the field is present.
    pub fn add_text(&mut self, field: &str, text: Zeroizing<String>) {
        self.add(field, Json::Text(text));
    }

    /// Clears the description.
    pub fn clear_description(&mut self) {
        self.add("description", Json::Null);
    }

    /// Sets whether the connection is enabled, unless the record does.
    pub fn add_availability(&mut self, availability: Availability) {
        self.add("enabled", Json::Bool(availability.is_enabled()));
    }

    fn add(&mut self, field: &str, value: Json) {
        if !self.has(field) {
            self.0.push((field.to_owned(), value));
        }
    }

    /// Whether the record contains a field.
    pub fn has(&self, field: &str) -> bool {
        self.0.iter().any(|(name, _)| name == field)
    }

    /// Whether the record has no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name if it is valid, whatever else is wrong.
    pub fn name(&self) -> Option<ConnectionName> {
        self.0.iter().find_map(|(field, value)| match value {
            Json::Text(text) if field == "name" => ConnectionName::parse(text).ok(),
            _ => None,
        })
    }

    /// The fields that clients set, and for an update its version, as the body of a request. Wiped on drop.
    pub fn to_body(&self, version: Option<u64>) -> Zeroizing<Vec<u8>> {
        let texts = self.0.iter().map(|(name, value)| match value {
            // An escaped character has at most six bytes. The capacity is never exceeded, which would leave a copy.
            Json::Text(text) => name.len() + 6 * text.len() + 6,
            _ => name.len() + 16,
        });
        let mut body = Zeroizing::new(Vec::with_capacity(texts.sum::<usize>() + 64));
        body.push(b'{');
        for (name, value) in self.0.iter().filter(|(name, _)| CLIENT_FIELDS.contains(&name.as_str())) {
            let value = match value {
                Json::Null => Value::Null,
                Json::Bool(value) => Value::Bool(*value),
                Json::Text(text) => Value::Text(text),
                // Valid for no field.
                _ => continue,
            };
            if body.len() > 1 {
                body.push(b',');
            }
            // Writing texts to memory does not fail.
            let _ = serde_json::to_writer(&mut *body, name);
            body.push(b':');
            let _ = serde_json::to_writer(&mut *body, &value);
        }
        if let Some(version) = version {
            let comma = if body.len() > 1 { "," } else { "" };
            body.extend_from_slice(format!("{comma}\"version\":{version}").as_bytes());
        }
        body.push(b'}');
        body
    }

    /// Converts the record to a draft of a new connection, or returns all its errors.
    pub fn into_draft(self, unknown: UnknownFields) -> Result<ConnectionDraft, RecordErrors> {
        let (draft, _) = read_draft(self.0, unknown);
        Ok(draft?)
    }

    /// Converts the record to a change of this version of a connection, or returns all its errors.
    pub fn into_change(mut self, version: u64) -> Result<ConnectionChange, RecordErrors> {
        self.add("version", Json::Number(Number::from_whole(version)));
        let (change, _) = read_change(self.0, UnknownFields::Reject);
        Ok(change?)
    }
}

/// A value of a field that clients set.
#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Null,
    Bool(bool),
    Text(&'a str),
}

fn read_cell(column: &str, cell: Zeroizing<String>) -> Json {
    match cell.to_ascii_lowercase().as_str() {
        "true" if column == "enabled" => Json::Bool(true),
        "false" if column == "enabled" => Json::Bool(false),
        _ => Json::Text(cell),
    }
}

/// Checks the column names of a table. The first line of a table without a header may contain secrets: names are shown
/// only if they resemble a known name, or if all required columns exist.
pub fn check_columns(names: &[String], unknown: UnknownFields) -> Result<(), RecordErrors> {
    let check = |unknown| {
        let columns = names.iter().map(|name| (name.clone(), Json::Null)).collect();
        Fields::new(columns, Known::new(&KNOWN_FIELDS, unknown)).finish().0
    };
    let mut errors = check(UnknownFields::Ignore);
    let mut error = |name: &str, text: &str| {
        errors.push(FieldError { name: name.to_owned(), errors: text.to_owned() });
    };
    for known in KNOWN_FIELDS {
        if names.iter().filter(|name| *name == known).count() > 1 {
            error(known, "appears twice");
        }
    }
    for missing in REQUIRED_COLUMNS.iter().filter(|column| !names.iter().any(|name| name == *column)) {
        error(missing, "has no column");
    }
    if errors.is_empty() {
        errors = check(unknown);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        check_columns(&names, UnknownFields::Ignore)
            .map_or_else(|errors| errors.to_string(), |()| String::new())
    }

    #[test]
    fn a_record_is_rejected_like_a_body_and_without_its_values() {
        let read = |text: &str| ConnectionRecord::parse(text.as_bytes()).err().unwrap().to_string();
        assert_eq!(read("canary"), "is not valid JSON (line 1, column 1)");
        assert_eq!(read("[]"), "must be a JSON object");
        let record =
            ConnectionRecord::parse(br#"{"name":"a.b","clientSecret":"c nary","accesToken":1}"#).unwrap();
        assert_eq!(
            record.into_draft(UnknownFields::Ignore).unwrap_err().to_string(),
            "name must contain only letters, digits, spaces, hyphens and underscores; enabled is required; \
             clientIdentifier is required; clientSecret must contain only visible ASCII characters, without spaces or \
             line breaks; accessToken is required; accesToken is not a known field; did you mean accessToken?"
        );
    }

    #[test]
    fn a_record_is_sent_with_the_fields_that_clients_set() {
        let text = r#"{"name":"a\u0022b","notes":"x","enabled":false,"description":null,"version":7,"accessToken":"t"}"#;
        let record = ConnectionRecord::parse(text.as_bytes()).unwrap();
        let sent = |version| String::from_utf8(record.to_body(version).to_vec()).unwrap();
        assert_eq!(sent(None), r#"{"name":"a\"b","enabled":false,"description":null,"accessToken":"t"}"#);
        assert_eq!(
            sent(Some(3)),
            r#"{"name":"a\"b","enabled":false,"description":null,"accessToken":"t","version":3}"#
        );
        let empty = ConnectionRecord::default();
        assert_eq!(
            (&**empty.to_body(None), &**empty.to_body(Some(1))),
            (&b"{}"[..], &br#"{"version":1}"#[..])
        );
    }

    #[test]
    fn a_credentials_file_contains_nothing_else() {
        assert!(ConnectionRecord::parse_credentials(br#"{"clientSecret":"a","accessToken":"b"}"#).is_ok());
        let errors =
            ConnectionRecord::parse_credentials(br#"{"name":"a","client_secret":"b"}"#).err().unwrap();
        assert_eq!(
            errors.to_string(),
            "name is not a known field; client_secret is not a known field; did you mean clientSecret?"
        );
    }

    #[test]
    fn the_cells_of_a_table_without_a_header_are_not_shown() {
        assert_eq!(columns(&["name", "clientIdentifier", "clientSecret", "accessToken", "notes"]), "");
        let headless = columns(&["My Vimeo", "canary1", "canary2", "canary3"]);
        assert!(!headless.contains("canary") && headless.starts_with("name has no column"), "{headless}");
        assert!(
            columns(&["name", "name", "clientIdentifier", "clientSecret", "accessToken"])
                .contains("name appears twice")
        );
        assert!(columns(&["client_secret"]).contains("did you mean clientSecret?"));
    }
}
