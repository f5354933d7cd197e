//! `move`.

use std::cell::Cell;
use std::process::ExitCode;

use app::{
    Clock, CopiedTable, DatabaseUrl, EngineMigrationError, EngineMigrationOutcome, EngineMigrationProgress,
    EngineMigrationState, SourceMark,
};
use clap::Args;
use seal::Randomness;

use super::confirmation::Confirmation;
use super::{BoxError, output};
use crate::config::Config;

/// A progress line is printed after this many rows of a table.
const ROWS_PER_REPORT: u64 = 5_000;

/// Source and target.
#[derive(Args)]
pub(super) struct Arguments {
    /// The existing database: `sqlite:PATH`
    #[arg(long, value_name = "URL")]
    from: String,
    /// An empty database: `postgres://…`; by default `database_url`, which keeps its password out of the arguments
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Roll a migration back, so that the source can be served again; with --to, first check whether it had finished
    #[arg(long)]
    abandon: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<ExitCode, BoxError> {
    let configured = &config.database_url;
    // Not parsed by clap, whose error would show the URL and its password.
    let from = parse_url("--from", &arguments.from)?;
    let to = arguments.to.as_ref().map(|to| parse_url("--to", to)).transpose()?;
    let to = to.map(|to| {
        to.trusting(config.tls_client.as_ref())
            .preparing(config.prepared_statements)
            .with_timeout(config.store_timeout)
    });
    if arguments.abandon {
        return abandon(&from, to.as_ref(), configured, &arguments.confirmation).await;
    }
    let to = match to {
        Some(to) => to,
        None if configured.file().is_none() => configured.clone(),
        None => return Err("no target: pass --to postgres://… or set database_url".into()),
    };
    let printer = ProgressPrinter::default();
    let report = |progress| printer.report(progress);
    let outcome = app::migrate_engine(&from, &to, &Clock::system(), &Randomness::system(), &report).await;
    printer.end();
    match outcome.map_err(|error| explain(error, &from))? {
        EngineMigrationOutcome::Done(tables) => print_result(&from, &to, &tables),
        EngineMigrationOutcome::WasDone => output::print(&format!(
            "{from} was migrated to {to} and verified by an earlier run. There is nothing left to do."
        )),
    }
}

fn parse_url(argument: &str, url: &str) -> Result<DatabaseUrl, BoxError> {
    DatabaseUrl::parse(url).map_err(|error| format!("{argument} {error}").into())
}

fn print_result(from: &DatabaseUrl, to: &DatabaseUrl, tables: &[CopiedTable]) -> Result<ExitCode, BoxError> {
    let rows: Vec<_> = tables
        .iter()
        .map(|table| vec![table.name.to_owned(), table.rows.to_string(), table.checksum.clone()])
        .collect();
    output::print_table(&["TABLE", "ROWS", "SHA-256 (IDENTICAL ON BOTH SIDES)"], &rows)?;
    output::print(&format!(
        "\nMigrated {from} to {to}: all rows were copied and verified.\n\
         Next: set database_url to the new one, with the same keyring, and start the service.\n\
         The old file is now read-only. Keep it until the new database has a backup of its own, then destroy \
         it: it holds all data, encrypted.\n\
         To roll back before that: {}",
        app::rollback_command(from)
    ))
}

/// The error of a migration, with the full command if a rollback is the solution.
fn explain(error: EngineMigrationError, from: &DatabaseUrl) -> BoxError {
    use EngineMigrationError::{AlreadyMigrated, CannotBeCopied, Differs, OtherTarget};
    if matches!(error, OtherTarget { .. } | AlreadyMigrated { .. } | CannotBeCopied { .. } | Differs { .. }) {
        return format!("{error}.\nTo roll the migration back: {}", app::rollback_command(from)).into();
    }
    error.into()
}

async fn abandon(
    from: &DatabaseUrl,
    to: Option<&DatabaseUrl>,
    configured: &DatabaseUrl,
    confirmation: &Confirmation,
) -> Result<ExitCode, BoxError> {
    let found = app::find_source_mark(from)?;
    let copy = find_copy_state(&found, to, configured).await?;
    let (sentence, end) = messages(from, &found, copy);
    confirmation.ask_word(&sentence, "abandon")?;
    app::roll_back_engine_migration(from, &found)?;
    output::print(&format!("{from} is writable again and can be served. {end}"))
}

/// The state of the migration according to the target, if there is one to ask.
async fn find_copy_state(
    found: &SourceMark,
    to: Option<&DatabaseUrl>,
    configured: &DatabaseUrl,
) -> Result<Option<EngineMigrationState>, BoxError> {
    let Some(to) = to else {
        // This database is not known to be the target. If it cannot be reached, or is a different one, the state is
        // unknown.
        let is_server = configured.file().is_none();
        return Ok(if is_server {
            app::find_target_state(configured, found).await.unwrap_or(None)
        } else {
            None
        });
    };
    let state = app::find_target_state(to, found).await.map_err(|error| {
        format!(
            "{error}. Nothing was changed; without --to, the migration is rolled back without checking the target"
        )
    })?;
    let error = || {
        format!(
            "{to} does not have the copy that this migration made: is it the right database? Nothing was changed; without \
             --to, the migration is rolled back without checking the target"
        )
    };
    state.map(Some).ok_or_else(|| error().into())
}

/// What a rollback means, before and after it. The state of the target takes precedence: the source may have been
/// restored or copied since it was marked.
fn messages(from: &DatabaseUrl, found: &SourceMark, copy: Option<EngineMigrationState>) -> (String, String) {
    let to = &found.to;
    match (found.state, copy) {
        (EngineMigrationState::Running, None) => {
            let warning = format!(
                "if this file was restored or copied since, the migration may have finished: check whether {to} is \
                 in use before you drop it"
            );
            (
                format!(
                    "rolling {from} back ends its migration to {to}, which was not checked; {warning} (with --to \
                     URL this command checks it)"
                ),
                format!("The database {to} was not checked: {warning}, or recreate it for another migration."),
            )
        }
        (_, Some(EngineMigrationState::Running)) => (
            format!("rolling {from} back ends its migration to {to}, whose copy was never served and is then useless"),
            "Nothing was lost: the copy was never served. Drop that database, or recreate it before another migration."
                .to_owned(),
        ),
        (state, _) => {
            let old = match state {
                EngineMigrationState::Running => ", which this file does not record: it was restored or copied since",
                EngineMigrationState::Done => "",
            };
            (
                format!(
                    "{from} was migrated to {to} permanently{old}. WARNING: what was written there since is not in {from}, and \
                     from now on the two differ. Stop all services that use {to} before you continue, or \
                     customers' changes go to one or the other"
                ),
                "What was written to the other database since the migration is not in it: keep that one until you are sure."
                    .to_owned(),
            )
        }
    }
}

/// Prints progress. Keeps the last report.
#[derive(Default)]
struct ProgressPrinter {
    last: Cell<Option<EngineMigrationProgress>>,
}

impl ProgressPrinter {
    fn report(&self, progress: EngineMigrationProgress) {
        let (action, table, rows, of) = parts(progress);
        // A table is first reported after its first rows.
        let last = self.last.get().map(parts).filter(|last| (last.0, last.1) == (action, table));
        let since = last.map_or(0, |(_, _, last_rows, _)| rows.saturating_sub(last_rows));
        if last.is_none() || rows == of || since >= ROWS_PER_REPORT {
            self.last.set(Some(progress));
        }
        if rows == of || since >= ROWS_PER_REPORT {
            output::report_progress(&format!("{action} {table}: {rows} of {of}"));
        }
    }

    fn end(&self) {
        if self.last.get().is_some() {
            output::end_progress();
        }
    }
}

fn parts(progress: EngineMigrationProgress) -> (&'static str, &'static str, u64, u64) {
    match progress {
        EngineMigrationProgress::Copied { table, rows, of } => ("copied", table, rows, of),
        EngineMigrationProgress::Compared { table, rows, of } => ("compared", table, rows, of),
    }
}
