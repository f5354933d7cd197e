//! Connections as JSON outside of a request: the command line reads and writes them by the same rules and texts.

use std::fmt;

use domain::connection::{Availability, Connection, ConnectionChange, ConnectionDraft, ConnectionName};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::UnknownFields;
use crate::error::{FieldFault, Problem, credential_faults};
use crate::fields::{Fields, Known};
use crate::json::{self, Json, Number};
use crate::v1::connection::{ConnectionOut, KNOWN_FIELDS, read_change, read_draft};

/// What a file of credentials may say.
static CREDENTIAL_FIELDS: [&str; 3] = ["clientIdentifier", "clientSecret", "accessToken"];
/// What a table of connections must have a column for.
const REQUIRED_COLUMNS: [&str; 4] = ["name", "clientIdentifier", "clientSecret", "accessToken"];

/// A connection as the API shows it: the nine fields in their order.
pub fn shown(connection: &Connection) -> impl Serialize + '_ {
    ConnectionOut::from(connection)
}

/// What Vimeo found wrong, each credential by its field's name.
pub fn refused_credentials(findings: &[app::CredentialProblem]) -> Faults {
    credential_faults(findings).into()
}

/// Everything that is wrong with a record, as a sentence's end that never repeats a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(String);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Faults {}

impl From<Vec<FieldFault>> for Faults {
    fn from(faults: Vec<FieldFault>) -> Self {
        let texts: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.name, fault.errors)).collect();
        Self(texts.join("; "))
    }
}

impl From<Problem> for Faults {
    fn from(problem: Problem) -> Self {
        problem.fields.into()
    }
}

/// A connection's fields, as somebody wrote them down.
#[derive(Default)]
pub struct Record(Vec<(String, Json)>);

impl Record {
    /// Reads one JSON object, as strictly as a request's body.
    pub fn parse(bytes: &[u8]) -> Result<Self, Faults> {
        let mended = |text: String| {
            let text = text.strip_prefix("The request body ").unwrap_or(&text);
            Faults(text.trim_end_matches('.').to_owned())
        };
        match json::parse(bytes).map_err(mended)? {
            Json::Object(object) => Ok(Self(object)),
            _ => Err(Faults("must be a JSON object".to_owned())),
        }
    }

    /// Reads one JSON object that says nothing but credentials.
    pub fn parse_credentials(bytes: &[u8]) -> Result<Self, Faults> {
        let record = Self::parse(bytes)?;
        let names = record.0.iter().map(|(name, _)| (name.clone(), Json::Null)).collect();
        let (faults, _) = Fields::new(names, Known::new(&CREDENTIAL_FIELDS, UnknownFields::Refuse)).finish();
        if faults.is_empty() { Ok(record) } else { Err(faults.into()) }
    }

    /// A row of a table: an empty cell says nothing.
    pub fn from_row(cells: impl Iterator<Item = (String, Zeroizing<String>)>) -> Self {
        let filled = cells.filter(|(_, cell)| !cell.is_empty());
        Self(filled.map(|(name, cell)| (name.clone(), read_cell(&name, cell))).collect())
    }

    /// Adds a text. A field that is there already stays as it is.
    pub fn add_text(&mut self, field: &str, text: Zeroizing<String>) {
        self.add(field, Json::Text(text));
    }

    /// Says that the description is to be none.
    pub fn clear_description(&mut self) {
        self.add("description", Json::Null);
    }

    /// Says whether the connection may be used, unless the record does.
    pub fn add_availability(&mut self, availability: Availability) {
        self.add("enabled", Json::Bool(availability.is_enabled()));
    }

    fn add(&mut self, field: &str, value: Json) {
        if !self.has(field) {
            self.0.push((field.to_owned(), value));
        }
    }

    /// Whether the record says anything of a field.
    pub fn has(&self, field: &str) -> bool {
        self.0.iter().any(|(name, _)| name == field)
    }

    /// Whether the record says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name, if it is one by the rules, whatever else is wrong.
    pub fn name(&self) -> Option<ConnectionName> {
        self.0.iter().find_map(|(field, value)| match value {
            Json::Text(text) if field == "name" => ConnectionName::parse(text).ok(),
            _ => None,
        })
    }

    /// What a connection can be made from, or everything that is wrong.
    pub fn into_draft(self, unknown: UnknownFields) -> Result<ConnectionDraft, Faults> {
        let (draft, _) = read_draft(self.0, unknown);
        Ok(draft?)
    }

    /// The change of a connection that has this version, or everything that is wrong.
    pub fn into_change(mut self, version: u64) -> Result<ConnectionChange, Faults> {
        self.add("version", Json::Number(Number::from_whole(version)));
        let (change, _) = read_change(self.0, UnknownFields::Refuse);
        Ok(change?)
    }
}

fn read_cell(column: &str, cell: Zeroizing<String>) -> Json {
    match cell.to_ascii_lowercase().as_str() {
        "true" if column == "enabled" => Json::Bool(true),
        "false" if column == "enabled" => Json::Bool(false),
        _ => Json::Text(cell),
    }
}

/// Checks the names of a table's columns. A table without a header has secrets where names should be: nothing is
/// repeated but what is nearly a known name, or stands beside all that must be there.
pub fn check_columns(names: &[String], unknown: UnknownFields) -> Result<(), Faults> {
    let judge = |unknown| {
        let columns = names.iter().map(|name| (name.clone(), Json::Null)).collect();
        Fields::new(columns, Known::new(&KNOWN_FIELDS, unknown)).finish().0
    };
    let mut faults = judge(UnknownFields::Report);
    let mut fault = |name: &str, errors: &str| {
        faults.push(FieldFault { name: name.to_owned(), errors: errors.to_owned() });
    };
    for known in KNOWN_FIELDS {
        if names.iter().filter(|name| *name == known).count() > 1 {
            fault(known, "is there twice");
        }
    }
    for missing in REQUIRED_COLUMNS.iter().filter(|column| !names.iter().any(|name| name == *column)) {
        fault(missing, "has no column");
    }
    if faults.is_empty() {
        faults = judge(unknown);
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        check_columns(&names, UnknownFields::Report)
            .map_or_else(|faults| faults.to_string(), |()| String::new())
    }

    #[test]
    fn a_record_is_refused_as_a_body_is_and_without_its_values() {
        let read = |text: &str| Record::parse(text.as_bytes()).err().unwrap().to_string();
        assert_eq!(read("canary"), "is not valid JSON (line 1, column 1)");
        assert_eq!(read("[]"), "must be a JSON object");
        let record = Record::parse(br#"{"name":"a.b","clientSecret":"c nary","accesToken":1}"#).unwrap();
        assert_eq!(
            record.into_draft(UnknownFields::Report).unwrap_err().to_string(),
            "name must contain only letters, digits, spaces, hyphens and underscores; enabled is required; \
             clientIdentifier is required; clientSecret must contain only visible ASCII characters, without spaces or \
             line breaks; accessToken is required; accesToken is not a known field; did you mean accessToken?"
        );
    }

    #[test]
    fn a_file_of_credentials_says_nothing_else() {
        assert!(Record::parse_credentials(br#"{"clientSecret":"a","accessToken":"b"}"#).is_ok());
        let faults = Record::parse_credentials(br#"{"name":"a","client_secret":"b"}"#).err().unwrap();
        assert_eq!(
            faults.to_string(),
            "name is not a known field; client_secret is not a known field; did you mean clientSecret?"
        );
    }

    #[test]
    fn a_table_without_a_header_is_not_shown() {
        assert_eq!(columns(&["name", "clientIdentifier", "clientSecret", "accessToken", "notes"]), "");
        let headless = columns(&["My Vimeo", "canary1", "canary2", "canary3"]);
        assert!(!headless.contains("canary") && headless.starts_with("name has no column"), "{headless}");
        assert!(
            columns(&["name", "name", "clientIdentifier", "clientSecret", "accessToken"])
                .contains("name is there twice")
        );
        assert!(columns(&["client_secret"]).contains("did you mean clientSecret?"));
    }
}
