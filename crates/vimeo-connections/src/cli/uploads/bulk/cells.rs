//! Cells of a table as the fields of an upload. A column has the path of a field, such as `privacy.view`. A cell is a text;
//! if the field does not take it as one, it is read as a number, a boolean or a list.

use serde_json::{Map, Value};
use web::upload_json::UploadFieldError;

/// Fields whose texts are separated by `;`, because a single text with a `;` would be valid too.
const LISTS: [&str; 4] = ["content_rating", "embed_domains", "showcases", "tags"];
const SEPARATOR: char = ';';

/// A row: the fields, and the cells that they were read from.
pub(super) struct Row {
    pub(super) fields: Map<String, Value>,
    cells: Vec<(String, String)>,
}

impl Row {
    /// Empty cells are absent fields.
    pub(super) fn new(cells: Vec<(String, String)>) -> Result<Self, UploadFieldError> {
        let cells: Vec<_> = cells.into_iter().filter(|(_, cell)| !cell.trim().is_empty()).collect();
        let mut fields = Map::new();
        for (column, cell) in &cells {
            let values = readings(column, cell);
            let value = values.into_iter().next().unwrap_or(Value::Null);
            set(&mut fields, column, value).map_err(|()| conflict(column))?;
        }
        Ok(Self { fields, cells })
    }

    /// The fields of a JSON object, which have their types.
    pub(super) fn of_object(fields: Map<String, Value>) -> Self {
        Self { fields, cells: Vec::new() }
    }

    /// Reads cells differently until `check` no longer finds errors in their fields; the errors that are left.
    pub(super) fn settle(
        &mut self,
        check: impl Fn(&Map<String, Value>) -> Vec<UploadFieldError>,
    ) -> Vec<UploadFieldError> {
        let mut errors = check(&self.fields);
        for (column, cell) in &self.cells {
            if !is_wrong(&errors, column) {
                continue;
            }
            for value in readings(column, cell).into_iter().skip(1) {
                let mut fields = self.fields.clone();
                if set(&mut fields, column, value).is_err() {
                    break;
                }
                let now = check(&fields);
                if !is_wrong(&now, column) {
                    (self.fields, errors) = (fields, now);
                    break;
                }
            }
        }
        errors
    }
}

/// A column that is a field, and another that is a part of it.
fn conflict(column: &str) -> UploadFieldError {
    UploadFieldError { field: column.to_owned(), error: "is a part of another column".to_owned() }
}

fn is_wrong(errors: &[UploadFieldError], column: &str) -> bool {
    errors.iter().any(|error| error.field == column)
}

/// What a cell may mean, the most likely first.
fn readings(column: &str, cell: &str) -> Vec<Value> {
    let text = || Value::String(cell.to_owned());
    let list = || {
        let entries = cell.split(SEPARATOR).map(str::trim).filter(|entry| !entry.is_empty());
        Value::Array(entries.map(|entry| Value::String(entry.to_owned())).collect())
    };
    let mut readings = Vec::new();
    if cell.trim_start().starts_with(['[', '{']) {
        readings.extend(serde_json::from_str::<Value>(cell).ok());
    }
    if LISTS.contains(&column.rsplit('.').next().unwrap_or(column)) {
        readings.push(list());
    }
    readings.push(text());
    match cell.trim().to_ascii_lowercase().as_str() {
        "true" => readings.push(Value::Bool(true)),
        "false" => readings.push(Value::Bool(false)),
        number => readings.extend(serde_json::from_str(number).ok().map(Value::Number)),
    }
    readings.push(list());
    readings
}

/// Sets a field, given by its path. An error if a part of the path is a field that is not an object.
pub(super) fn set(fields: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), ()> {
    let Some((name, rest)) = path.split_once('.') else {
        match (fields.get_mut(path), value) {
            // The parts of an object may be in several columns.
            (Some(Value::Object(before)), Value::Object(more)) => before.extend(more),
            (Some(Value::Object(_)), _) => return Err(()),
            (_, value) => {
                fields.insert(path.to_owned(), value);
            }
        }
        return Ok(());
    };
    match fields.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(inside) => set(inside, rest, value),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn row(cells: &[(&str, &str)]) -> Result<Row, UploadFieldError> {
        Row::new(cells.iter().map(|(column, cell)| ((*column).to_owned(), (*cell).to_owned())).collect())
    }

    fn error(field: &str) -> UploadFieldError {
        UploadFieldError { field: field.to_owned(), error: "is wrong".to_owned() }
    }

    #[test]
    fn a_column_is_the_path_of_a_field_and_an_empty_cell_is_not_given() {
        let cells = [
            ("name", "[Teaser] One; two"),
            ("privacy.view", "unlisted"),
            ("privacy.embed", " "),
            ("tags", "a; b;;c"),
            ("embed_domains", r#"["a.example"]"#),
            ("textTracks", r#"[{"language":"en"}]"#),
            ("publishAt", "2027-01-01T00:00:00Z"),
        ];
        let expected = json!({
            "name": "[Teaser] One; two",
            "privacy": {"view": "unlisted"},
            "tags": ["a", "b", "c"],
            "embed_domains": ["a.example"],
            "textTracks": [{"language": "en"}],
            "publishAt": "2027-01-01T00:00:00Z",
        });
        assert_eq!(Value::Object(row(&cells).unwrap().fields), expected);
    }

    #[test]
    fn a_cell_that_is_no_text_of_its_field_is_read_as_what_the_field_takes() {
        let check = |fields: &Map<String, Value>| {
            let mut errors = Vec::new();
            let mut require = |field: &str, is_right: bool| {
                if !is_right {
                    errors.push(error(field));
                }
            };
            require("thumbnail_time", fields["thumbnail_time"].is_number());
            require("privacy.download", fields["privacy"]["download"].is_boolean());
            require("chapters", fields["chapters"].is_array());
            require("name", fields["name"].is_string());
            require("license", false);
            errors
        };
        let cells = [
            ("thumbnail_time", "1.5"),
            ("privacy.download", "TRUE"),
            ("chapters", "a;b"),
            ("name", "[1]"),
            ("license", "12"),
        ];
        let mut row = row(&cells).unwrap();
        assert_eq!(row.settle(check), [error("license")]);
        let expected = json!({
            "thumbnail_time": 1.5,
            "privacy": {"download": true},
            "chapters": ["a", "b"],
            "name": "[1]",
            "license": "12",
        });
        assert_eq!(Value::Object(row.fields), expected);
    }

    #[test]
    fn a_column_cannot_be_a_part_of_a_text() {
        for cells in [[("privacy", "x"), ("privacy.view", "y")], [("privacy.view", "y"), ("privacy", "x")]] {
            assert!(row(&cells).is_err(), "{cells:?}");
        }
        let both = row(&[("privacy", r#"{"view":"unlisted"}"#), ("privacy.embed", "public")]).unwrap();
        assert_eq!(both.fields["privacy"], json!({"view": "unlisted", "embed": "public"}));
    }

    proptest! {
        #[test]
        fn any_text_without_brackets_is_kept_as_it_is(text in "[^\\[{]{1,40}", column in "[a-z]{1,10}") {
            prop_assume!(!text.trim().is_empty() && !LISTS.contains(&column.as_str()));
            let mut row = row(&[(&column, &text)]).unwrap();
            prop_assert!(row.settle(|_| Vec::new()).is_empty());
            prop_assert_eq!(row.fields[&column].as_str(), Some(text.as_str()));
        }

        #[test]
        fn any_cells_are_read_without_a_panic(cells in proptest::collection::vec(("[a-z.]{0,6}", ".{0,12}"), 0..5)) {
            if let Ok(mut row) = Row::new(cells) {
                row.settle(|fields| fields.keys().map(|name| error(name)).collect());
            }
        }
    }
}
