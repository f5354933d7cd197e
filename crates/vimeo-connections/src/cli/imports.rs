//! `connections import`: each line of a file becomes a connection or is reported as an error.

mod remote;

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use app::{App, Caller, Error, Outcome, SameCredentials};
use clap::{Args, ValueEnum};
use domain::connection::{Availability, ConnectionDraft};
use serde::Serialize;
use web::UnknownFields;
use web::connection_json::{self, ConnectionRecord, rejected_credentials};

use super::backend::Backend;
use super::error_messages::to_message;
use super::lines::Lines;
use super::rows::Rows;
use super::{BoxError, Format, credentials, output};

/// Longest wait before a line is retried when Vimeo is unavailable.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// What to import.
#[derive(Args)]
pub(super) struct FileToImport {
    /// The file (- is standard input), with the fields of the API: name, description, enabled (default: true),
    /// clientIdentifier, clientSecret, accessToken; others are ignored
    file: PathBuf,
    /// JSON objects, one per line, or comma-separated values (also with `;` or tabs) with a header [default: by the
    /// file's extension, else jsonl]
    #[arg(long = "format")]
    kind: Option<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Jsonl,
    Csv,
}

impl FileToImport {
    fn kind(&self) -> Kind {
        let is_csv = self.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        self.kind.unwrap_or(if is_csv { Kind::Csv } else { Kind::Jsonl })
    }
}

/// The entries of a file.
enum Entries<R> {
    Objects(Lines<R>),
    Table(Box<Rows<R>>, Vec<String>),
}

/// One entry: a record, or what is wrong with it.
struct Entry {
    line: u64,
    record: Result<ConnectionRecord, String>,
}

/// The result for one line.
#[derive(Clone)]
enum RowOutcome {
    Imported(String),
    /// With a remark.
    AlreadyExists(String, Option<String>),
    Rejected(String),
    NotAttempted(String),
}

/// The result for one line, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LineOut {
    line: u64,
    name: Option<String>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The results for all lines, as JSON.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportOut {
    lines: Vec<LineOut>,
    imported: u64,
    already_there: u64,
    refused: u64,
    not_tried: u64,
}

pub(super) async fn run(
    backend: Backend<'_>,
    import: &FileToImport,
    unknown: UnknownFields,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let (what, source) = credentials::open(&import.file)?;
    let unreadable = |error: std::io::Error| format!("{what} cannot be read: {error}");
    let lines = Lines::new(source);
    let mut entries = match import.kind() {
        Kind::Jsonl => Entries::Objects(lines),
        Kind::Csv => Entries::table(lines, unknown).map_err(|error| format!("{what}: {error}"))?,
    };
    let mut importer = Importer { backend, unknown, names: HashMap::new(), stopped: None };
    let mut report = ReportOut::default();
    loop {
        // If the rest of the file cannot be read, the imported lines are reported nevertheless.
        let entry = match entries.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                report.print_summary(format)?;
                return Err(unreadable(error).into());
            }
        };
        let (line, name) = (entry.line, entry.record.as_ref().ok().and_then(ConnectionRecord::name));
        let outcome = importer.import(entry).await;
        report.add(line, name.map(|name| name.as_str().to_owned()), outcome, format)?;
    }
    report.print_summary(format)?;
    let is_all_there = report.refused == 0 && report.not_tried == 0;
    Ok(if is_all_there { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl<R: Read> Entries<R> {
    fn table(lines: Lines<R>, unknown: UnknownFields) -> Result<Self, BoxError> {
        let mut rows = Box::new(Rows::new(lines));
        let Some((line, header)) = rows.next()? else { return Ok(Self::Table(rows, Vec::new())) };
        let header = header.map_err(|error| format!("line {line}, the header, {error}"))?;
        let names: Vec<_> = header.iter().map(|name| name.trim().to_owned()).collect();
        match connection_json::check_columns(&names, unknown) {
            Ok(()) => Ok(Self::Table(rows, names)),
            Err(errors) => Err(format!("line {line} must name the columns: {errors}").into()),
        }
    }

    /// The next entry, skipping blank lines.
    fn next(&mut self) -> std::io::Result<Option<Entry>> {
        match self {
            Self::Objects(lines) => {
                while let Some(line) = lines.next()? {
                    let record = match &line.bytes {
                        None => Err("is longer than 64 KiB".to_owned()),
                        Some(bytes) if bytes.trim_ascii().is_empty() => continue,
                        // Each line is parsed on its own, so its position is always line 1.
                        Some(bytes) => ConnectionRecord::parse(bytes)
                            .map_err(|errors| errors.to_string().replace("(line 1, column", "(column")),
                    };
                    return Ok(Some(Entry { line: line.number, record }));
                }
                Ok(None)
            }
            Self::Table(rows, columns) => {
                let Some((line, cells)) = rows.next()? else { return Ok(None) };
                let record = match cells {
                    Ok(cells) if cells.len() == columns.len() => {
                        Ok(ConnectionRecord::from_row(columns.iter().cloned().zip(cells)))
                    }
                    Ok(cells) => {
                        Err(format!("has {} cells, and the header has {}", cells.len(), columns.len()))
                    }
                    Err(fault) => Err(fault.to_owned()),
                };
                Ok(Some(Entry { line, record }))
            }
        }
    }
}

/// State across lines.
struct Importer<'a> {
    backend: Backend<'a>,
    unknown: UnknownFields,
    /// The first line that imported a name.
    names: HashMap<String, u64>,
    /// Why no further line is attempted.
    stopped: Option<String>,
}

impl Importer<'_> {
    async fn import(&mut self, entry: Entry) -> RowOutcome {
        let mut record = match entry.record {
            Ok(record) => record,
            Err(error) => return RowOutcome::Rejected(error),
        };
        record.add_availability(Availability::Enabled);
        let body = record.to_body(None);
        let draft = match record.into_draft(self.unknown) {
            Ok(draft) => draft,
            Err(errors) => return RowOutcome::Rejected(errors.to_string()),
        };
        if let Some(why) = &self.stopped {
            return RowOutcome::NotAttempted(why.clone());
        }
        let name = draft.name.unique_part().to_owned();
        let stored = match &self.backend {
            Backend::Database { app, caller, .. } => {
                self.store(app, caller, entry.line, draft).await.map_err(to_message)
            }
            Backend::Service(client) => self.send(client, entry.line, &draft, body).await,
        };
        match stored {
            Ok(outcome) => {
                if matches!(outcome, RowOutcome::Imported(_) | RowOutcome::AlreadyExists(..)) {
                    self.names.entry(name).or_insert(entry.line);
                }
                outcome
            }
            Err(error) => {
                self.stopped = Some(format!("the import stopped at line {}", entry.line));
                RowOutcome::NotAttempted(output::with_causes(&*error))
            }
        }
    }

    /// The result for a draft. An error means that further lines would fail as well.
    async fn store(
        &self,
        app: &App,
        caller: &Caller,
        line: u64,
        draft: ConnectionDraft,
    ) -> Result<RowOutcome, Error> {
        match app.compare_credentials(caller, &draft).await? {
            Some(SameCredentials::Yes(stored)) => {
                let earlier = self.names.get(draft.name.unique_part());
                let remark = earlier.map(|line| format!("the same as line {line}"));
                return Ok(RowOutcome::AlreadyExists(stored.id.to_string(), remark));
            }
            Some(SameCredentials::No(_)) => return Ok(self.name_taken(&draft)),
            None => {}
        }
        let name_taken = self.name_taken(&draft);
        let create = |draft| app.create_connection(caller, draft, None);
        let created = match create(draft.clone()).await {
            Err(Error::VimeoUnavailable { retry_after_seconds }) => {
                wait("Vimeo could not be reached", line, retry_after_seconds).await;
                create(draft).await
            }
            created => created,
        };
        match created {
            Ok(Outcome::Fresh(connection)) => Ok(RowOutcome::Imported(connection.id.to_string())),
            Err(Error::CredentialsRejected(problems)) => Ok(RowOutcome::Rejected(format!(
                "Vimeo refused the credentials: {}",
                rejected_credentials(&problems)
            ))),
            // Another request took the name in the meantime. A replay cannot occur without an idempotency key.
            Err(Error::ConnectionNameExists) | Ok(Outcome::Replayed(_)) => Ok(name_taken),
            Err(error) => Err(error),
        }
    }

    fn name_taken(&self, draft: &ConnectionDraft) -> RowOutcome {
        RowOutcome::Rejected(match self.names.get(draft.name.unique_part()) {
            Some(line) => format!("line {line} has the same name with different credentials"),
            None => "the account has a connection with this name and different credentials".to_owned(),
        })
    }
}

/// Waits before a line is retried.
async fn wait(why: &str, line: u64, seconds: u64) {
    let wait = Duration::from_secs(seconds).min(WAIT_MAX);
    output::status(&format!("{why}; line {line} is retried in {} s.", wait.as_secs()));
    tokio::time::sleep(wait).await;
}

impl ReportOut {
    fn add(
        &mut self,
        line: u64,
        name: Option<String>,
        outcome: RowOutcome,
        format: &Format,
    ) -> Result<(), BoxError> {
        let (count, label) = match &outcome {
            RowOutcome::Imported(_) => (&mut self.imported, "imported"),
            RowOutcome::AlreadyExists(..) => (&mut self.already_there, "already there"),
            RowOutcome::Rejected(_) => (&mut self.refused, "refused"),
            RowOutcome::NotAttempted(_) => (&mut self.not_tried, "not tried"),
        };
        *count += 1;
        let (connection_id, reason) = match outcome {
            RowOutcome::Imported(id) => (Some(id), None),
            RowOutcome::AlreadyExists(id, remark) => (Some(id), remark),
            RowOutcome::Rejected(reason) | RowOutcome::NotAttempted(reason) => (None, Some(reason)),
        };
        if format.json {
            self.lines.push(LineOut { line, name, outcome: label, connection_id, reason });
            return Ok(());
        }
        let name = name.unwrap_or_else(|| "?".to_owned());
        let id = connection_id.map(|id| format!(" ({id})")).unwrap_or_default();
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        output::print(&format!("line {line}, {name}: {label}{id}{reason}"))?;
        Ok(())
    }

    fn print_summary(&self, format: &Format) -> Result<(), BoxError> {
        if format.json {
            output::print_json(self)?;
            return Ok(());
        }
        let mut counts =
            vec![format!("{} imported", self.imported), format!("{} already there", self.already_there)];
        counts.push(format!("{} refused", self.refused));
        if self.not_tried > 0 {
            counts.push(format!("{} not tried", self.not_tried));
        }
        output::print(&counts.join(", "))?;
        Ok(())
    }
}
