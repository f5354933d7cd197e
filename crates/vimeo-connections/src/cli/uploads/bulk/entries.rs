//! The uploads that the lines of the input ask for. Every line is checked before anything is sent; a line is identified by
//! a digest of its content.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use app::{EgressUrl, UploadRequest, UrlError};
use domain::idempotency::IdempotencyKey;
use domain::publication::check_publish_at;
use domain::time::Timestamp;
use serde_json::{Map, Value, json};
use web::upload_json::{UploadFieldError, read_upload_json};
use zeroize::Zeroizing;

use super::super::file::FileToSend;
use super::super::is_http;
use super::super::once::digest;
use super::input::{Input, InputLine, LineError};
use crate::cli::BoxError;

/// The prefix of all digests. A change of the encoding needs another one, and makes other uploads of the same lines.
const ENCODING: &str = "vimeo-connections cli bulk upload, version 1";
/// Kept by the API as received, so its order counts.
const AS_RECEIVED: &str = "webhookInput";
/// How many characters of the digest are in an idempotency key.
const KEY_CHARS: usize = 40;

/// One upload.
pub(super) struct Entry {
    pub(super) line: u64,
    /// The ID of the connection.
    pub(super) connection: String,
    pub(super) digest: String,
    pub(super) source: EntrySource,
    /// The body of the request; the same for every run. May contain a password.
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) request: UploadRequest,
    /// The place of the first entry with the same content.
    pub(super) duplicate_of: Option<usize>,
}

/// Where the bytes of an entry come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntrySource {
    Url,
    /// The identity is that of the file when it was checked.
    File {
        path: PathBuf,
        identity: String,
    },
}

/// What lines are checked against.
pub(super) struct Rules<'a> {
    /// The account or service.
    pub(super) place: &'a str,
    /// The folder of relative paths.
    pub(super) folder: &'a Path,
    /// The connection of lines that name none.
    pub(super) connection: Option<&'a str>,
    pub(super) check_address: &'a dyn Fn(&str) -> Result<EgressUrl, UrlError>,
}

impl Entry {
    /// The key of the nth request for this upload.
    pub(super) fn key(&self, time: u32) -> Result<IdempotencyKey, BoxError> {
        let name = self.digest.get(..KEY_CHARS).unwrap_or(&self.digest);
        let name = if time == 1 { format!("cli-bulk-{name}") } else { format!("cli-bulk-{name}-{time}") };
        Ok(IdempotencyKey::parse(&name)?)
    }
}

/// The connections that lines name, in their order.
pub(super) fn connections(input: &Input, default: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in &input.lines {
        let name = line.row.fields.get("connection").and_then(Value::as_str).or(default);
        if let Some(name) = name
            && !names.iter().any(|before| before == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Checks all lines: the entries, or all errors. `ids`: the ID of each named connection that exists.
pub(super) fn check(
    input: Input,
    rules: &Rules<'_>,
    ids: &HashMap<String, String>,
) -> Result<Vec<Entry>, Vec<LineError>> {
    let Input { lines, mut errors } = input;
    let mut entries: Vec<Entry> = Vec::new();
    // By digest: the place, and the digest with the secrets.
    let mut seen: HashMap<String, (usize, String)> = HashMap::new();
    for line in lines {
        let number = line.number;
        let (mut entry, whole) = match check_line(line, rules, ids) {
            Ok(checked) => checked,
            Err(found) => {
                errors.extend(found.into_iter().map(|error| LineError { line: number, error }));
                continue;
            }
        };
        match seen.get(&entry.digest) {
            Some((first, equal)) if *equal == whole => entry.duplicate_of = Some(*first),
            Some((first, _)) => {
                let first = entries.get(*first).map_or(0, |entry| entry.line);
                let error = format!("differs from line {first} only in a password or a header");
                errors.push(LineError::new(number, "", &error));
            }
            None => {
                seen.insert(entry.digest.clone(), (entries.len(), whole));
            }
        }
        entries.push(entry);
    }
    errors.sort_by_key(|error| error.line);
    if errors.is_empty() { Ok(entries) } else { Err(errors) }
}

/// The entries whose time of publication is not valid. For a first run: an upload of an earlier one may already be
/// published.
pub(super) fn check_times(entries: &[Entry], now: Timestamp) -> Vec<LineError> {
    let error_of = |entry: &Entry| check_publish_at(entry.request.publish_at?, now).err();
    let errors = entries.iter().filter_map(|entry| Some((entry.line, error_of(entry)?)));
    errors.map(|(line, error)| LineError::new(line, "publishAt", &error.to_string())).collect()
}

/// The entry, and its digest with the secrets.
fn check_line(
    line: InputLine,
    rules: &Rules<'_>,
    ids: &HashMap<String, String>,
) -> Result<(Entry, String), Vec<UploadFieldError>> {
    let InputLine { number, mut row } = line;
    let connection = take_connection(&mut row.fields, rules, ids);
    let source = take_source(&mut row.fields, rules.folder);
    let id = connection.clone().unwrap_or_default();
    let read = |fields: &Map<String, Value>| {
        read_upload_json(Value::Object(fields.clone()).to_string().as_bytes(), &id, rules.check_address)
    };
    let mut errors = row.settle(|fields| read(fields).err().unwrap_or_default());
    // The source of a line that has none that is valid was left out.
    errors.retain(|error| source.is_ok() || !error.field.starts_with("source"));
    errors.extend(source.as_ref().err().cloned());
    errors.extend(connection.as_ref().err().cloned());
    let (Ok(connection), Ok(source), true) = (connection, source, errors.is_empty()) else {
        return Err(errors);
    };
    let fields = canonical(row.fields);
    let request = read(&fields)?;
    let identified = |fields: &Map<String, Value>| {
        let mut fields = fields.clone();
        if let EntrySource::File { identity, .. } = &source {
            fields.insert("source".to_owned(), json!({ "file": identity }));
        }
        let content = Value::Object(fields);
        digest(
            &Value::from(vec![json!(ENCODING), json!(rules.place), json!(connection), content]).to_string(),
        )
    };
    let whole = identified(&fields);
    // It is stored in plain text, here and by the service: no password can be guessed from it.
    let digest = identified(&without_secrets(fields.clone()));
    let body = Zeroizing::new(Value::Object(fields).to_string().into_bytes());
    Ok((Entry { line: number, connection, digest, source, body, request, duplicate_of: None }, whole))
}

fn take_connection(
    fields: &mut Map<String, Value>,
    rules: &Rules<'_>,
    ids: &HashMap<String, String>,
) -> Result<String, UploadFieldError> {
    let error = |error: &str| UploadFieldError { field: "connection".to_owned(), error: error.to_owned() };
    let named = match fields.shift_remove("connection") {
        None | Some(Value::Null) => {
            rules.connection.map(str::to_owned).ok_or_else(|| error("is required, or --connection"))?
        }
        Some(Value::String(name)) => name,
        Some(_) => return Err(error("must be a string: the ID or name of a connection")),
    };
    ids.get(&named).cloned().ok_or_else(|| error("is the ID or name of no connection of the account"))
}

/// Replaces the source by what the API takes: the URL, or the size of the file.
fn take_source(fields: &mut Map<String, Value>, folder: &Path) -> Result<EntrySource, UploadFieldError> {
    let error =
        |field: &str, error: &str| UploadFieldError { field: field.to_owned(), error: error.to_owned() };
    let (text, field) = match fields.get_mut("source") {
        None | Some(Value::Null) => return Err(error("source", "is required")),
        Some(Value::String(text)) => (std::mem::take(text), "source"),
        Some(Value::Object(source)) if source.contains_key("file") => match source.shift_remove("file") {
            Some(Value::String(path)) if source.is_empty() => {
                return take_file(fields, &folder.join(path)).map_err(|fault| error("source.file", &fault));
            }
            Some(Value::String(_)) => return Err(error("source", "must have either url or file")),
            _ => return Err(error("source.file", "must be a string")),
        },
        Some(Value::Object(source)) if source.contains_key("size") => {
            return Err(error("source.size", "is known from the file: use source.file"));
        }
        Some(Value::Object(_)) => return Ok(EntrySource::Url),
        Some(_) => return Err(error("source", "must be a URL, a path, or an object with url or file")),
    };
    match text.split_once("://") {
        Some((scheme, _)) if is_http(scheme) => {
            fields.insert("source".to_owned(), json!({ "url": text }));
            Ok(EntrySource::Url)
        }
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Err(error(field, "must be a path, or a URL that begins with https://"))
        }
        _ if text.trim().is_empty() => Err(error(field, "is required")),
        _ => take_file(fields, &folder.join(text)).map_err(|fault| error(field, &fault)),
    }
}

fn take_file(fields: &mut Map<String, Value>, path: &Path) -> Result<EntrySource, String> {
    // Opened again when it is sent: a list may name more files than a process can have open.
    // The path is not repeated: it may be a URL without its scheme, with a secret.
    let without_path = |fault: BoxError| {
        let text = fault.to_string();
        text.strip_prefix(&path.display().to_string()).unwrap_or(" cannot be uploaded").trim().to_owned()
    };
    let file = FileToSend::open(path).map_err(without_path)?;
    fields.insert("source".to_owned(), json!({ "size": file.size() }));
    let is_set = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    let inside = fields.get("destination").and_then(|destination| destination.get("name"));
    // A replaced video keeps its name.
    let is_named = is_set(fields.get("name")) || is_set(inside) || is_set(fields.get("replaces"));
    if let (false, Some(name)) = (is_named, file.video_name()) {
        fields.insert("name".to_owned(), json!(name.as_str()));
    }
    Ok(EntrySource::File { path: path.to_owned(), identity: file.identity() })
}

/// The same for all lines with the same content: sorted, and without what is null.
fn canonical(fields: Map<String, Value>) -> Map<String, Value> {
    let mut fields: Vec<_> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let value = match value {
                Value::Object(inside) if name != AS_RECEIVED => Value::Object(canonical(inside)),
                value => value,
            };
            (name, value)
        })
        .collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields.into_iter().collect()
}

/// Only that there is a password, and the names of headers.
fn without_secrets(mut fields: Map<String, Value>) -> Map<String, Value> {
    let hide = |value: &mut Value| *value = Value::Bool(true);
    if let Some(password) = fields.get_mut("password") {
        hide(password);
    }
    if let Some(password) = fields.get_mut("destination").and_then(|inside| inside.get_mut("password")) {
        hide(password);
    }
    match fields.get_mut("source").and_then(|source| source.get_mut("headers")) {
        Some(Value::Object(headers)) => headers.values_mut().for_each(hide),
        Some(other) => hide(other),
        None => {}
    }
    fields
}

#[cfg(test)]
mod tests;
