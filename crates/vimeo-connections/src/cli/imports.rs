//! `connections import`: each line of a file becomes a connection, or its fault is told.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use app::{App, Caller, Error, Outcome, SameCredentials};
use clap::{Args, ValueEnum};
use domain::connection::{Availability, ConnectionDraft};
use domain::id::ConnectionId;
use serde::Serialize;
use web::UnknownFields;
use web::connection_json::{self, ConnectionRecord, rejected_credentials};

use super::lines::Lines;
use super::refusals::in_words;
use super::rows::Rows;
use super::{BoxError, Format, credentials, output};

/// The longest wait for Vimeo, whatever it says, before a line is tried once more.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// What to import.
#[derive(Args)]
pub(super) struct FileToImport {
    /// The file (- is standard input), with the fields of the API: name, description, enabled (default: true), clientIdentifier, clientSecret, accessToken; others are ignored
    file: PathBuf,
    /// JSON objects, one a line, or comma-separated values (also with `;` or tabs) with a header [default: as the file's name ends, else
    /// jsonl]
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

/// A file of connections.
enum Entries<R> {
    Objects(Lines<R>),
    Table(Box<Rows<R>>, Vec<String>),
}

/// What stands on a line: a record, or what is wrong with it.
struct Entry {
    line: u64,
    record: Result<ConnectionRecord, String>,
}

/// What became of a line.
#[derive(Clone)]
enum Fate {
    Imported(ConnectionId),
    /// Perhaps because an earlier line said the same.
    AlreadyThere(ConnectionId, Option<u64>),
    Refused(String),
    NotTried(String),
}

/// A line's fate, for scripts.
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

/// All of them.
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
    app: &App,
    caller: Caller,
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
    let mut importer = Importer { app, caller, unknown, names: HashMap::new(), stopped: None };
    let mut report = ReportOut::default();
    loop {
        // What was imported is there, and is told, also if the rest of the file cannot be read.
        let entry = match entries.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                report.say_summary(format)?;
                return Err(unreadable(error).into());
            }
        };
        let (line, name) = (entry.line, entry.record.as_ref().ok().and_then(ConnectionRecord::name));
        let fate = importer.import(entry).await;
        report.add(line, name.map(|name| name.as_str().to_owned()), fate, format)?;
    }
    report.say_summary(format)?;
    let is_all_there = report.refused == 0 && report.not_tried == 0;
    Ok(if is_all_there { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl<R: Read> Entries<R> {
    fn table(lines: Lines<R>, unknown: UnknownFields) -> Result<Self, BoxError> {
        let mut rows = Box::new(Rows::new(lines));
        let Some((line, header)) = rows.next()? else { return Ok(Self::Table(rows, Vec::new())) };
        let header = header.map_err(|fault| format!("line {line}, the header, {fault}"))?;
        let names: Vec<_> = header.iter().map(|name| name.trim().to_owned()).collect();
        match connection_json::check_columns(&names, unknown) {
            Ok(()) => Ok(Self::Table(rows, names)),
            Err(faults) => Err(format!("line {line} must name the columns: {faults}").into()),
        }
    }

    /// What the next line says that says anything.
    fn next(&mut self) -> std::io::Result<Option<Entry>> {
        match self {
            Self::Objects(lines) => {
                while let Some(line) = lines.next()? {
                    let record = match &line.bytes {
                        None => Err("is longer than 64 KiB".to_owned()),
                        Some(bytes) if bytes.trim_ascii().is_empty() => continue,
                        // It is a line of its own for the one who reads it as JSON.
                        Some(bytes) => ConnectionRecord::parse(bytes)
                            .map_err(|faults| faults.to_string().replace("(line 1, column", "(column")),
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

/// What goes on from line to line.
struct Importer<'a> {
    app: &'a App,
    caller: Caller,
    unknown: UnknownFields,
    /// Which line an imported name was on first.
    names: HashMap<String, u64>,
    /// Why no further line is tried.
    stopped: Option<String>,
}

impl Importer<'_> {
    async fn import(&mut self, entry: Entry) -> Fate {
        let mut record = match entry.record {
            Ok(record) => record,
            Err(fault) => return Fate::Refused(fault),
        };
        record.add_availability(Availability::Enabled);
        let draft = match record.into_draft(self.unknown) {
            Ok(draft) => draft,
            Err(faults) => return Fate::Refused(faults.to_string()),
        };
        if let Some(why) = &self.stopped {
            return Fate::NotTried(why.clone());
        }
        let name = draft.name.unique_part().to_owned();
        match self.store(entry.line, draft).await {
            Ok(fate) => {
                if matches!(fate, Fate::Imported(_) | Fate::AlreadyThere(..)) {
                    self.names.entry(name).or_insert(entry.line);
                }
                fate
            }
            Err(error) => {
                let why = output::with_causes(&*in_words(error));
                self.stopped = Some(format!("the import stopped at line {}", entry.line));
                Fate::NotTried(why)
            }
        }
    }

    /// What becomes of a draft; an error if no other would fare better now.
    async fn store(&self, line: u64, draft: ConnectionDraft) -> Result<Fate, Error> {
        match self.app.compare_credentials(&self.caller, &draft).await? {
            Some(SameCredentials::Yes(stored)) => {
                return Ok(Fate::AlreadyThere(stored.id, self.names.get(draft.name.unique_part()).copied()));
            }
            Some(SameCredentials::No(_)) => return Ok(self.name_taken(&draft)),
            None => {}
        }
        let name_taken = self.name_taken(&draft);
        let create = |draft| self.app.create_connection(&self.caller, draft, None);
        let created = match create(draft.clone()).await {
            Err(Error::VimeoUnavailable { retry_after_seconds }) => {
                let wait = Duration::from_secs(retry_after_seconds).min(WAIT_MAX);
                output::remark(&format!(
                    "Vimeo could not be reached; line {line} is retried in {} s.",
                    wait.as_secs()
                ));
                tokio::time::sleep(wait).await;
                create(draft).await
            }
            created => created,
        };
        match created {
            Ok(Outcome::Done(connection)) => Ok(Fate::Imported(connection.id)),
            Err(Error::CredentialsRejected(findings)) => Ok(Fate::Refused(format!(
                "Vimeo refused the credentials: {}",
                rejected_credentials(&findings)
            ))),
            // Somebody took the name meanwhile; or, which cannot be without an idempotency key, it was made before.
            Err(Error::ConnectionNameExists) | Ok(Outcome::Repeated(_)) => Ok(name_taken),
            Err(error) => Err(error),
        }
    }

    fn name_taken(&self, draft: &ConnectionDraft) -> Fate {
        Fate::Refused(match self.names.get(draft.name.unique_part()) {
            Some(line) => format!("line {line} has this name too, with other credentials"),
            None => "the account has a connection of this name, with other credentials".to_owned(),
        })
    }
}

impl ReportOut {
    fn add(&mut self, line: u64, name: Option<String>, fate: Fate, format: &Format) -> Result<(), BoxError> {
        let (count, outcome) = match &fate {
            Fate::Imported(_) => (&mut self.imported, "imported"),
            Fate::AlreadyThere(..) => (&mut self.already_there, "already there"),
            Fate::Refused(_) => (&mut self.refused, "refused"),
            Fate::NotTried(_) => (&mut self.not_tried, "not tried"),
        };
        *count += 1;
        let (connection_id, reason) = match fate {
            Fate::Imported(id) => (Some(id.to_string()), None),
            Fate::AlreadyThere(id, earlier) => {
                (Some(id.to_string()), earlier.map(|line| format!("the same as line {line}")))
            }
            Fate::Refused(reason) | Fate::NotTried(reason) => (None, Some(reason)),
        };
        if format.json {
            self.lines.push(LineOut { line, name, outcome, connection_id, reason });
            return Ok(());
        }
        let name = name.unwrap_or_else(|| "?".to_owned());
        let id = connection_id.map(|id| format!(" ({id})")).unwrap_or_default();
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        output::say(&format!("line {line}, {name}: {outcome}{id}{reason}"))?;
        Ok(())
    }

    fn say_summary(&self, format: &Format) -> Result<(), BoxError> {
        if format.json {
            output::say_json(self)?;
            return Ok(());
        }
        let mut counts =
            vec![format!("{} imported", self.imported), format!("{} already there", self.already_there)];
        counts.push(format!("{} refused", self.refused));
        if self.not_tried > 0 {
            counts.push(format!("{} not tried", self.not_tried));
        }
        output::say(&counts.join(", "))?;
        Ok(())
    }
}
