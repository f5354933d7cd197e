//! A connection as the API presents it, from the database or from a remote service.

use domain::connection::Connection;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::output::on_one_line;

/// A connection, with every field that was sent.
#[derive(Debug, Clone)]
pub(in crate::cli) struct ConnectionView {
    /// As it is printed.
    pub(in crate::cli) json: Value,
    fields: Fields,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    connection_id: String,
    name: String,
    description: Option<String>,
    client_identifier: String,
    enabled: bool,
    created_date: String,
    updated_date: String,
    version: u64,
}

impl ConnectionView {
    pub(in crate::cli) fn of(connection: &Connection) -> Result<Self, serde_json::Error> {
        Self::parse(serde_json::to_value(web::connection_json::present(connection))?)
    }

    pub(in crate::cli) fn parse(json: Value) -> Result<Self, serde_json::Error> {
        Ok(Self { fields: Fields::deserialize(&json)?, json })
    }

    pub(in crate::cli) fn id(&self) -> &str {
        &self.fields.connection_id
    }

    /// Its exact name.
    pub(in crate::cli) fn name(&self) -> &str {
        &self.fields.name
    }

    pub(in crate::cli) fn client_identifier(&self) -> &str {
        &self.fields.client_identifier
    }

    pub(in crate::cli) fn is_enabled(&self) -> bool {
        self.fields.enabled
    }

    pub(in crate::cli) fn version(&self) -> u64 {
        self.fields.version
    }

    /// The name and the ID, for a sentence.
    pub(in crate::cli) fn label(&self) -> String {
        on_one_line(&format!("{} ({})", self.fields.name, self.fields.connection_id))
    }

    /// `enabled` or `disabled`.
    fn status(&self) -> &'static str {
        if self.fields.enabled { "enabled" } else { "disabled" }
    }

    /// A row of the table.
    pub(super) fn row(&self) -> Vec<String> {
        let fields = &self.fields;
        let cells = [
            &fields.name,
            &fields.connection_id,
            self.status(),
            &fields.client_identifier,
            &fields.version.to_string(),
            &fields.updated_date,
        ];
        cells.iter().map(|cell| on_one_line(cell)).collect()
    }

    /// All fields, each with its title.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let fields = &self.fields;
        let mut lines = vec![
            ("name", fields.name.clone()),
            ("connection", fields.connection_id.clone()),
            ("status", self.status().to_owned()),
            ("client identifier", fields.client_identifier.clone()),
            ("created", fields.created_date.clone()),
            ("updated", fields.updated_date.clone()),
            ("version", fields.version.to_string()),
        ];
        if let Some(description) = &fields.description {
            lines.insert(1, ("description", description.clone()));
        }
        lines
    }
}
