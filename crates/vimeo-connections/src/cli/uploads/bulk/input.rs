//! Reads the lines of the input: CSV, or JSON lines.

use std::io::Read;
use std::path::Path;

use clap::ValueEnum;
use serde_json::{Map, Value};
use web::upload_json::{UploadFieldError, check_upload_json, read_upload_json};

use super::cells::{Row, set};
use crate::cli::lines::Lines;
use crate::cli::rows::Rows;
use crate::cli::{BoxError, credentials};

/// The form of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InputFormat {
    Csv,
    Jsonl,
}

impl InputFormat {
    /// By the extension of the file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// An error in a line, without any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineError {
    pub(super) line: u64,
    pub(super) error: UploadFieldError,
}

impl LineError {
    pub(super) fn new(line: u64, field: &str, error: &str) -> Self {
        Self { line, error: UploadFieldError { field: field.to_owned(), error: error.to_owned() } }
    }

    /// As it is shown.
    pub(super) fn text(&self) -> String {
        let Self { line, error: UploadFieldError { field, error } } = self;
        if field.is_empty() {
            format!("line {line}: {error}")
        } else {
            format!("line {line}: {field} {error}")
        }
    }
}

/// A line that could be read.
pub(super) struct InputLine {
    pub(super) number: u64,
    pub(super) row: Row,
}

/// What could be read, and what could not.
#[derive(Default)]
pub(super) struct Input {
    pub(super) lines: Vec<InputLine>,
    pub(super) errors: Vec<LineError>,
}

/// Reads all lines of a file (`-` is standard input).
pub(super) fn read(path: &Path, format: InputFormat) -> Result<Input, BoxError> {
    let (what, source) = credentials::open(path)?;
    let read = match format {
        InputFormat::Csv => read_table(Lines::new(source)),
        InputFormat::Jsonl => read_objects(Lines::new(source)),
    };
    read.map_err(|error| format!("{what} cannot be read: {error}").into())
}

fn read_objects<R: Read>(mut lines: Lines<R>) -> std::io::Result<Input> {
    let mut input = Input::default();
    while let Some(line) = lines.next()? {
        let number = line.number;
        let Some(bytes) = line.bytes else {
            input.errors.push(LineError::new(number, "", "is longer than 64 KiB"));
            continue;
        };
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        match read_object(&bytes) {
            Ok(row) => input.lines.push(InputLine { number, row }),
            Err(error) => input.errors.push(LineError { line: number, error }),
        }
    }
    Ok(input)
}

fn read_object(bytes: &[u8]) -> Result<Row, UploadFieldError> {
    check_upload_json(bytes).map_err(|error| {
        // The line of the input is named already.
        UploadFieldError { error: error.error.replace("(line 1, ", "("), ..error }
    })?;
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(Row::of_object(fields)),
        _ => Err(UploadFieldError { field: String::new(), error: "must be a JSON object".to_owned() }),
    }
}

fn read_table<R: Read>(lines: Lines<R>) -> std::io::Result<Input> {
    let mut rows = Rows::new(lines);
    let mut input = Input::default();
    let Some((first, header)) = rows.next()? else { return Ok(input) };
    let columns: Vec<String> = match header {
        Ok(cells) => cells.iter().map(|cell| cell.trim().to_owned()).collect(),
        Err(error) => {
            input.errors.push(LineError::new(first, "", error));
            return Ok(input);
        }
    };
    input.errors = check_columns(first, &columns);
    if !input.errors.is_empty() {
        return Ok(input);
    }
    while let Some((number, cells)) = rows.next()? {
        let row = match cells {
            Err(error) => Err(LineError::new(number, "", error)),
            Ok(cells) if cells.iter().skip(columns.len()).any(|cell| !cell.trim().is_empty()) => {
                Err(LineError::new(number, "", "has more cells than the header"))
            }
            Ok(cells) => {
                let cells = columns.iter().cloned().zip(cells.iter().map(|cell| cell.to_string()));
                Row::new(cells.collect()).map_err(|error| LineError { line: number, error })
            }
        };
        match row {
            Ok(row) => input.lines.push(InputLine { number, row }),
            Err(error) => input.errors.push(error),
        }
    }
    Ok(input)
}

/// Checks the names of columns. The first line of a table without a header may contain secrets, so names are shown only if
/// there is a column for the source.
fn check_columns(line: u64, columns: &[String]) -> Vec<LineError> {
    let is_source = |column: &String| column == "source" || column == "source.url";
    if !columns.iter().any(is_source) {
        return vec![LineError::new(
            line,
            "source",
            "has no column; the first line must have the names of the columns",
        )];
    }
    let mut errors = Vec::new();
    let mut fields = Map::new();
    for (place, column) in columns.iter().enumerate() {
        if column.is_empty() {
            continue;
        }
        if columns.iter().take(place).any(|before| before == column) {
            errors.push(LineError::new(line, column, "appears twice"));
        } else if column != "source" && column != "source.url" && column != "connection" {
            // A field that is null is not given, and so has no other error than that it is unknown.
            let value = Value::Null;
            if set(&mut fields, column, value).is_err() {
                // The parts of an object may be in several columns.
                fields.remove(column.split('.').next().unwrap_or(column));
                let _ = set(&mut fields, column, Value::Null);
            }
        }
    }
    let mut source = fields.remove("source").unwrap_or_else(|| Value::Object(Map::new()));
    if let Value::Object(source) = &mut source {
        source.insert("size".to_owned(), 1.into());
    }
    fields.insert("source".to_owned(), source);
    let body = Value::Object(fields).to_string();
    let unknown = read_upload_json(body.as_bytes(), "", &|_| Err(app::UrlError::NotAUrl)).err();
    errors.extend(unknown.unwrap_or_default().into_iter().map(|error| LineError { line, error }));
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(text: &str) -> Input {
        read_table(Lines::new(text.as_bytes())).unwrap()
    }

    fn objects(text: &str) -> Input {
        read_objects(Lines::new(text.as_bytes())).unwrap()
    }

    fn fields(input: &Input) -> Vec<(u64, Value)> {
        input.lines.iter().map(|line| (line.number, Value::Object(line.row.fields.clone()))).collect()
    }

    fn errors(input: &Input) -> Vec<String> {
        input.errors.iter().map(LineError::text).collect()
    }

    #[test]
    fn a_table_has_a_row_for_each_upload() {
        let text = "\u{feff}source,name,privacy.view\r\nhttps://a.example/1,\"One\r\nmore, \"\"two\"\"\",\r\n\r\n2.mp4,,disable\r\n";
        let input = table(text);
        assert_eq!(errors(&input), [] as [String; 0]);
        assert_eq!(
            fields(&input),
            [
                (2, json!({"source": "https://a.example/1", "name": "One\r\nmore, \"two\""})),
                (5, json!({"source": "2.mp4", "privacy": {"view": "disable"}})),
            ]
        );
    }

    #[test]
    fn a_header_is_checked_once_and_a_missing_one_is_not_shown() {
        let canary = table("https://a.example/?canary,canary\nx,y\n");
        assert_eq!(
            errors(&canary),
            ["line 1: source has no column; the first line must have the names of the columns"]
        );
        let unknown = table("source,titel,privacy.view,privacy.veiw,name,name\nx,y,z,a,b,c\n");
        let shown = errors(&unknown).join("\n");
        assert!(shown.contains("line 1: name appears twice"), "{shown}");
        assert!(shown.contains("titel is not a known field") && shown.contains("privacy.veiw"), "{shown}");
        assert!(unknown.lines.is_empty(), "the rows are not read");
        assert_eq!(errors(&table("source,privacy,privacy.view\nx,,y\n")), [] as [String; 0]);
    }

    #[test]
    fn every_line_that_cannot_be_read_is_reported() {
        let input = table("source,name\na,b,c\nd,\"e\n");
        assert_eq!(
            errors(&input),
            ["line 2: has more cells than the header", "line 3: has a quotation mark that is not closed"]
        );
        let input = objects("\u{feff}{\"source\":\"a\"}\r\n\n[1]\n{\"a\":1,\"a\":2}\n{\"source\":\"b\"}");
        assert_eq!(fields(&input), [(1, json!({"source": "a"})), (5, json!({"source": "b"}))]);
        assert_eq!(
            errors(&input),
            ["line 3: must be a JSON object", "line 4: is not valid JSON: a key is given twice (column 10)"]
        );
    }

    #[test]
    fn the_extension_selects_the_form() {
        for (name, expected) in [
            ("a.CSV", Some(InputFormat::Csv)),
            ("a.jsonl", Some(InputFormat::Jsonl)),
            ("a.ndjson", Some(InputFormat::Jsonl)),
            ("a.json", Some(InputFormat::Jsonl)),
            ("a.txt", None),
            ("-", None),
        ] {
            assert_eq!(InputFormat::of(Path::new(name)), expected, "{name}");
        }
    }
}
