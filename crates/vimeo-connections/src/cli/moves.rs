//! `move`.

use std::cell::Cell;
use std::process::ExitCode;

use app::{Clock, DatabaseUrl, MoveError, MoveOutcome, MoveProgress, MoveState, MovedTable, SourceMove};
use clap::Args;
use seal::Randomness;

use super::confirmation::Confirmation;
use super::{BoxError, output};
use crate::config::Config;

/// Of a table's rows, how many go by between two words about it.
const ROWS_BETWEEN_WORDS: u64 = 5_000;

/// From where to where.
#[derive(Args)]
pub(super) struct Arguments {
    /// The existing database: `sqlite:PATH`
    #[arg(long, value_name = "URL")]
    from: String,
    /// An empty one: `postgres://…`; by default the one that `database_url` names, which keeps its password out of
    /// the arguments
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Roll a move back, so that the source can be served again; with --to, first check whether the move had finished
    #[arg(long)]
    abandon: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<ExitCode, BoxError> {
    let configured = &config.database_url;
    // Read here and not by clap, which would show a URL that it cannot read, with the password in it.
    let from = read("--from", &arguments.from)?;
    let to = arguments.to.as_ref().map(|to| read("--to", to)).transpose()?;
    let to = to.map(|to| to.trusting(config.tls_client.as_ref()).preparing(config.prepared_statements));
    if arguments.abandon {
        return abandon(&from, to.as_ref(), configured, &arguments.confirmation).await;
    }
    let to = match to {
        Some(to) => to,
        None if configured.file().is_none() => configured.clone(),
        None => return Err("no target: pass --to postgres://… or set database_url".into()),
    };
    let told = Told::default();
    let tell = |progress| told.tell(progress);
    let outcome = app::move_database(&from, &to, &Clock::system(), &Randomness::system(), &tell).await;
    told.end();
    match outcome.map_err(|error| explain(error, &from))? {
        MoveOutcome::Done(tables) => say_moved(&from, &to, &tables),
        MoveOutcome::WasDone => output::say(&format!(
            "{from} was moved to {to} by an earlier run, and compared then. There is nothing left to do."
        )),
    }
}

fn read(argument: &str, url: &str) -> Result<DatabaseUrl, BoxError> {
    DatabaseUrl::parse(url).map_err(|error| format!("{argument} {error}").into())
}

fn say_moved(from: &DatabaseUrl, to: &DatabaseUrl, tables: &[MovedTable]) -> Result<ExitCode, BoxError> {
    let rows: Vec<_> = tables
        .iter()
        .map(|table| vec![table.name.to_owned(), table.rows.to_string(), table.checksum.clone()])
        .collect();
    output::say_table(&["TABLE", "ROWS", "SHA-256, THE SAME ON BOTH SIDES"], &rows)?;
    output::say(&format!(
        "\nMoved {from} to {to}: all rows were copied and verified.\n\
         Next: set database_url to the new one, with the same keyring, and start the service.\n\
         The old file is now read-only. Keep it until the new database has a backup of its own, then destroy \
         it: it holds all data, encrypted.\n\
         Should you need it back before that: {}",
        app::abandon_command(from)
    ))
}

/// Why a move did not come to its end; with the command in full, where giving the source back is the way on.
fn explain(error: MoveError, from: &DatabaseUrl) -> BoxError {
    use MoveError::{AlreadyMigrated, CannotBeCopied, Differs, OtherTarget};
    if matches!(error, OtherTarget { .. } | AlreadyMigrated { .. } | CannotBeCopied { .. } | Differs { .. }) {
        return format!("{error}.\nTo roll the move back: {}", app::abandon_command(from)).into();
    }
    error.into()
}

async fn abandon(
    from: &DatabaseUrl,
    to: Option<&DatabaseUrl>,
    configured: &DatabaseUrl,
    confirmation: &Confirmation,
) -> Result<ExitCode, BoxError> {
    let found = app::find_move(from)?;
    let copy = look_at_copy(&found, to, configured).await?;
    let (sentence, end) = words(from, &found, copy);
    confirmation.ask_word(&sentence, "abandon")?;
    app::abandon_move(from, &found)?;
    output::say(&format!("{from} is writable again and can be served. {end}"))
}

/// What the target says of the move, if there is one to be asked.
async fn look_at_copy(
    found: &SourceMove,
    to: Option<&DatabaseUrl>,
    configured: &DatabaseUrl,
) -> Result<Option<MoveState>, BoxError> {
    let Some(to) = to else {
        // Nobody said that this is the target: if it cannot be asked, or is another database, nothing is known.
        let is_server = configured.file().is_none();
        return Ok(if is_server { app::find_copy(configured, found).await.unwrap_or(None) } else { None });
    };
    let state = app::find_copy(to, found).await.map_err(|error| {
        format!(
            "{error}. Nothing was changed; without --to, the move is rolled back without checking the target"
        )
    })?;
    let refusal = || {
        format!(
            "{to} does not have the copy that this move made: is it the right database? Nothing was changed; without \
             --to, the move is rolled back without checking the target"
        )
    };
    state.map(Some).ok_or_else(|| refusal().into())
}

/// What giving the source back means, before and after it is done. What the target says counts: the source may have been
/// restored or copied since it was marked.
fn words(from: &DatabaseUrl, found: &SourceMove, copy: Option<MoveState>) -> (String, String) {
    let to = &found.to;
    match (found.state, copy) {
        (MoveState::Running, None) => {
            let warning = format!(
                "if this file was restored or copied since, the move may have ended: check whether {to} is \
                 in use before you drop it"
            );
            (
                format!(
                    "rolling {from} back ends its move to {to}, which was not checked; {warning} (with --to \
                     URL this command checks it)"
                ),
                format!("The database {to} was not checked: {warning}, or recreate it for another move."),
            )
        }
        (_, Some(MoveState::Running)) => (
            format!("rolling {from} back ends its move to {to}, whose copy was never served and is then useless"),
            "Nothing was lost: the copy was never served. Drop that database, or recreate it before another move."
                .to_owned(),
        ),
        (state, _) => {
            let old = match state {
                MoveState::Running => ", which this file does not record: it was restored or copied since",
                MoveState::Done => "",
            };
            (
                format!(
                    "{from} was moved to {to} for good{old}. WARNING: what was written there since is not in {from}, and \
                     from now on the two differ. Stop all services that use {to} before you continue, or \
                     customers' changes go to one or the other"
                ),
                "What was written to the other database since the move is not in it: keep that one until you are sure."
                    .to_owned(),
            )
        }
    }
}

/// What was said last of how far it has come.
#[derive(Default)]
struct Told {
    last: Cell<Option<MoveProgress>>,
}

impl Told {
    fn tell(&self, progress: MoveProgress) {
        let (verb, table, rows, of) = parts(progress);
        // Of a table that begins, only from where it is counted.
        let last = self.last.get().map(parts).filter(|last| (last.0, last.1) == (verb, table));
        let since = last.map_or(0, |(_, _, last_rows, _)| rows.saturating_sub(last_rows));
        if last.is_none() || rows == of || since >= ROWS_BETWEEN_WORDS {
            self.last.set(Some(progress));
        }
        if rows == of || since >= ROWS_BETWEEN_WORDS {
            output::report_progress(&format!("{verb} {table}: {rows} of {of}"));
        }
    }

    fn end(&self) {
        if self.last.get().is_some() {
            output::end_progress();
        }
    }
}

fn parts(progress: MoveProgress) -> (&'static str, &'static str, u64, u64) {
    match progress {
        MoveProgress::Copied { table, rows, of } => ("copied", table, rows, of),
        MoveProgress::Compared { table, rows, of } => ("compared", table, rows, of),
    }
}
