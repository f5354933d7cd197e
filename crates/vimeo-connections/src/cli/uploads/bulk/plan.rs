//! The arguments of a bulk upload, and the check of all lines.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::super::Arguments;
use super::super::addresses::{check_form, lenient_egress};
use super::entries::{self, Entry, Rules};
use super::input::{self, InputFormat, LineError};
use super::service::Service;
use super::starts::Repeat;
use crate::cli::backend::Backend;
use crate::cli::{BoxError, output};
use crate::client::ClientError;

/// How many errors of lines are shown.
const ERRORS_SHOWN: usize = 100;

/// Many uploads.
#[derive(Args)]
pub(in super::super) struct BulkArguments {
    /// Upload what each line of a file names (- is standard input): JSON lines with the body of the API's request, or CSV
    /// whose columns are its fields (source, name, privacy.view, …; lists separated by `;`). A source is a URL, or a path
    /// relative to the file. The field connection is its ID or name [default: --connection]. All lines are checked first.
    /// Run the same command again to resume: each line is uploaded once
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "SettingsArguments", "PublicationArguments"])]
    from: Option<PathBuf>,
    /// The form of the lines [default: by the file's extension]
    #[arg(long, value_name = "FORMAT", conflicts_with = "source")]
    input_format: Option<InputFormat>,
    /// What was accepted, and how it ended, as JSON lines; a repeated command continues with it [default: beside the file,
    /// with .report.jsonl appended to its name]
    #[arg(long, value_name = "PATH", conflicts_with = "source")]
    report: Option<PathBuf>,
    /// How many lines with URLs are submitted at once, from 1 to 64
    #[arg(long, value_name = "COUNT", default_value_t = 16, conflicts_with = "source",
        value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Upload lines again that failed before
    #[arg(long, conflicts_with_all = ["source", "again"])]
    retry_failed: bool,
}

impl BulkArguments {
    pub(in super::super) fn is_given(&self) -> bool {
        self.from.is_some()
    }
}

/// A file of uploads, and what is done with it.
pub(super) struct Plan {
    path: PathBuf,
    format: InputFormat,
    pub(super) report: PathBuf,
    connection: Option<String>,
    pub(super) options: Options,
}

/// How lines are uploaded.
pub(super) struct Options {
    pub(super) parallel: usize,
    pub(super) repeat: Repeat,
    /// Whether the command waits for the ends of uploads.
    pub(super) waits: bool,
    /// Whether the records of the report are printed.
    pub(super) prints_records: bool,
}

impl Options {
    pub(super) fn repeats_failed(&self) -> bool {
        self.repeat != Repeat::Nothing
    }

    pub(super) fn uploads_again(&self) -> bool {
        self.repeat == Repeat::Everything
    }
}

impl Plan {
    pub(super) fn of(arguments: &Arguments) -> Result<Self, BoxError> {
        let Arguments { bulk, connection, again, no_wait, format, .. } = arguments;
        let path = bulk.from.clone().unwrap_or_default();
        let input_format = bulk.input_format.or_else(|| InputFormat::of(&path));
        let input_format = input_format.ok_or(
            "--input-format csv or --input-format jsonl is missing: the name of the file does not say it",
        )?;
        let report = match &bulk.report {
            Some(report) => report.clone(),
            None if path == Path::new("-") => {
                return Err(
                    "--report PATH is missing: standard input has no file beside which the report could be"
                        .into(),
                );
            }
            None => {
                let mut name = path.clone().into_os_string();
                name.push(".report.jsonl");
                name.into()
            }
        };
        let repeat = match (again, bulk.retry_failed) {
            (true, _) => Repeat::Everything,
            (false, true) => Repeat::Failed,
            (false, false) => Repeat::Nothing,
        };
        let options =
            Options { parallel: bulk.parallel.into(), repeat, waits: !no_wait, prints_records: format.json };
        Ok(Self { path, format: input_format, report, connection: connection.clone(), options })
    }

    /// All entries; `None` if a line is invalid, which has been reported.
    pub(super) async fn check(
        &self,
        backend: &Backend<'_>,
        service: Service<'_>,
    ) -> Result<Option<Vec<Entry>>, BoxError> {
        let input = input::read(&self.path, self.format)?;
        if input.lines.is_empty() && input.errors.is_empty() {
            return Err(format!("{} has no lines", self.path.display()).into());
        }
        let names = entries::connections(&input, self.connection.as_deref());
        let ids = find_connections(backend, names).await?;
        let egress = lenient_egress()?;
        let place = match service {
            Service::Database { caller, .. } => format!("account {}", caller.account_id),
            Service::Remote(client) => format!("service {}", client.url()),
        };
        let check_address = |text: &str| match service {
            Service::Database { app, .. } => app.check_address(text),
            Service::Remote(_) => check_form(&egress, text),
        };
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let connection = self.connection.as_deref();
        let rules = Rules { place: &place, folder, connection, check_address: &check_address };
        match entries::check(input, &rules, &ids) {
            Ok(entries) => Ok(Some(entries)),
            Err(errors) => {
                self.report_errors(&errors);
                Ok(None)
            }
        }
    }

    pub(super) fn report_errors(&self, errors: &[LineError]) {
        for error in errors.iter().take(ERRORS_SHOWN) {
            output::status(&output::on_one_line(&error.text()));
        }
        if let Some(more @ 1..) = errors.len().checked_sub(ERRORS_SHOWN) {
            output::status(&format!("and {more} more errors"));
        }
        output::status(&format!(
            "{} has invalid lines ({}), so nothing was uploaded.",
            self.path.display(),
            errors.len()
        ));
    }
}

/// The IDs of connections by what lines call them. Those that do not exist are left out.
async fn find_connections(
    backend: &Backend<'_>,
    names: Vec<String>,
) -> Result<HashMap<String, String>, BoxError> {
    let mut ids = HashMap::new();
    for name in names {
        match backend.find_connection(&name).await {
            Ok(found) => {
                ids.insert(name, found.id().to_owned());
            }
            Err(error) if error.is::<ClientError>() || error.is::<app::Error>() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(ids)
}
