//! The command line.

mod accounts;
mod audit;
mod backend;
mod backups;
mod confirmation;
mod connections;
mod credentials;
mod drafts;
mod engine_migration;
mod error_messages;
mod examples;
mod exports;
mod healthcheck;
mod imports;
mod jobs;
mod keyring;
mod keys;
mod lines;
pub(crate) mod output;
mod pages;
mod rows;
mod service_secret;
mod status;
mod uploads;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use app::App;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use seal::Randomness;
use seal::keyring::Keyring;
use tokio_util::task::TaskTracker;
use tracing_subscriber::filter::LevelFilter;

use crate::activation::{ActivationError, Sockets};
use crate::client::{self, ApiClient, ServiceArguments, Target};
use crate::config::{self, Config, Environment, KeyringSource, Layers, LogFormat, VerificationMode};
use crate::keyring_source::{self, WhenUnavailable};
use crate::prepare::{self, InUse};
use crate::reload::Origin;
use crate::{browsers, exit, serve, telemetry, wiring};

use backend::Place;
pub(crate) use backend::UsageError;

/// What `--version` shows: the version, the commit and the date of the commit.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SOURCE_REVISION"), ")");

/// The error of a command. Its text is for the operator.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Stores customers' Vimeo app credentials, verified and encrypted, and uploads videos with them.
#[derive(Parser)]
#[command(name = "vimeo-connections", version = VERSION, about, max_term_width = 100, after_help = exit::HELP)]
pub(crate) struct Arguments {
    /// Configuration file [default: ./vimeo-connections.toml if it exists]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(flatten)]
    service: ServiceArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service
    Serve,
    /// Ask the running service whether it is healthy, for a container's health check
    Healthcheck(healthcheck::Arguments),
    #[command(flatten)]
    OfDatabase(DatabaseCommand),
    #[command(flatten)]
    OfAccount(Box<AccountCommand>),
    #[command(flatten)]
    Pages(pages::Command),
}

/// A command that needs the configuration, the keyring or the database.
#[derive(Subcommand)]
enum DatabaseCommand {
    /// Create the keyring that encrypts everything stored; once, before the first start
    Init,
    /// Migrate the database schema to this version, as `serve` does on startup
    Migrate,
    /// Copy the database into a new file, even while the service runs; the keyring is not included
    Backup(backups::Backup),
    /// Restore a backup where no database exists, or only check it
    Restore(backups::Restore),
    /// Show and check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Create, list and delete accounts, and change their limits
    #[command(subcommand)]
    Accounts(accounts::Command),
    /// Rotate the keyring: add a key, rewrap with it, and retire the earlier one
    #[command(subcommand)]
    Keyring(keyring::Command),
    /// Replace the key of an account
    #[command(subcommand)]
    AccountKey(keyring::AccountKeyCommand),
    /// Replace the service secret, which keys hashes and MACs
    #[command(subcommand)]
    ServiceSecret(service_secret::Command),
    /// Migrate to PostgreSQL without decrypting; rerun to resume
    Move(engine_migration::Arguments),
}

/// A command on the data of an account.
#[derive(Subcommand)]
enum AccountCommand {
    /// Create, import, list, rename, rotate, inspect and revoke API keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// List, export and verify audit events
    #[command(subcommand)]
    Audit(audit::Command),
    /// Create, import, show, verify, update and delete connections
    #[command(subcommand)]
    Connections(connections::Command),
    /// Upload a file or URL through a connection; rerun to resume
    Upload(Box<uploads::Arguments>),
    /// List, watch, reschedule, cancel and retry uploads as jobs
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Show whether the service works, and what is in it
    Status(status::Arguments),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Show the effective configuration with secrets redacted, and check that `serve` can start with it
    Check {
        /// Accept that the listen address is in use, for example by the running service
        #[arg(long)]
        beside_running: bool,
    },
}

/// The output format.
#[derive(Args)]
pub(crate) struct Format {
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// The command line with the examples of every command.
fn command() -> clap::Command {
    examples::attach(Arguments::command())
}

/// The arguments of this process. Prints help and errors, and then ends the process.
pub(crate) fn parse() -> Arguments {
    let mut matches = command().get_matches();
    Arguments::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
}

/// Runs a command.
pub(crate) async fn run(
    arguments: Arguments,
    sockets: Result<Sockets, ActivationError>,
) -> Result<ExitCode, BoxError> {
    let Arguments { config, service, command } = arguments;
    let (environment, variables) = Environment::from_process();
    match command {
        Command::Pages(command) => pages::run(&command),
        Command::Serve => {
            service.reject(&variables, "serve")?;
            Box::pin(serve(config, environment, sockets)).await
        }
        Command::Healthcheck(arguments) => {
            service.reject(&variables, "healthcheck")?;
            let config = Config::load(config.as_deref(), environment).map(|(config, _)| config);
            healthcheck::run(config.map_err(BoxError::from), &arguments).await
        }
        Command::OfDatabase(command) => {
            service.reject(&variables, command.name())?;
            let (config, layers) = Config::load(config.as_deref(), environment)?;
            start_log(&config)?;
            run_on_database(&config, &layers, command).await
        }
        Command::OfAccount(command) => match client::choose(&service, variables)? {
            Target::Database => {
                let (config, _) = Config::load(config.as_deref(), environment)?;
                start_log(&config)?;
                Box::pin(run_on_account(&config, *command)).await
            }
            Target::Service(client) => {
                telemetry::start(LogFormat::Pretty, LevelFilter::WARN, Duration::ZERO, None)?;
                run_on_service(&client, *command).await
            }
        },
    }
}

async fn serve(
    file: Option<PathBuf>,
    environment: Environment,
    sockets: Result<Sockets, ActivationError>,
) -> Result<ExitCode, BoxError> {
    match Config::load(file.as_deref(), environment) {
        Ok((config, layers)) => {
            telemetry::start(config.log_format, config.log_level, config.log_repeat, config.traces.as_ref())?;
            let origin = Origin::new(file, &layers);
            drop(layers);
            let result = serve::run(&config, sockets?, origin).await;
            telemetry::traces::finish().await;
            result?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            // Report the error in the configured log format, whatever else is wrong.
            telemetry::start(error.log_format, LevelFilter::OFF, Duration::ZERO, None)?;
            Err(error.into())
        }
    }
}

/// The output of a command is its result; the log contains only problems.
fn start_log(config: &Config) -> Result<(), BoxError> {
    let level = config.log_level.min(LevelFilter::WARN);
    Ok(telemetry::start(LogFormat::Pretty, level, Duration::ZERO, None)?)
}

async fn run_on_database(
    config: &Config,
    layers: &Layers,
    command: DatabaseCommand,
) -> Result<ExitCode, BoxError> {
    match command {
        DatabaseCommand::Init => init(config).await,
        DatabaseCommand::Migrate => {
            wiring::open_for_migrating(config).await?.close().await;
            output::print(&format!("The database {} has this version's schema.", config.database_url))
        }
        DatabaseCommand::Backup(command) => backups::back_up(config, command).await,
        DatabaseCommand::Restore(command) => backups::restore(config, command).await,
        DatabaseCommand::Config(ConfigCommand::Check { beside_running }) => {
            output::print(config::effective(layers).trim_end())?;
            let in_use = if beside_running { InUse::Accept } else { InUse::Reject };
            Box::pin(prepare::prepare(config, in_use, Sockets::default(), WhenUnavailable::Fail)).await?;
            Ok(ExitCode::SUCCESS)
        }
        DatabaseCommand::Accounts(command) => {
            // A port that the system chooses is not known here.
            let listener = Some(config.listen).filter(|address| address.port() != 0);
            let public_url = browsers::public_url(config, listener);
            administer(config, async |app| accounts::run(app, public_url.as_ref(), command).await).await
        }
        DatabaseCommand::Keyring(command) => Box::pin(keyring::run(config, command)).await,
        DatabaseCommand::AccountKey(command) => {
            administer(config, async |app| keyring::run_account_key(app, command).await).await
        }
        DatabaseCommand::ServiceSecret(command) => {
            keyring::require_database(config).await?;
            administer(config, async |app| service_secret::run(app, command).await).await
        }
        DatabaseCommand::Move(arguments) => engine_migration::run(config, arguments).await,
    }
}

async fn run_on_account(config: &Config, command: AccountCommand) -> Result<ExitCode, BoxError> {
    match command {
        AccountCommand::Audit(command) => {
            administer(config, async |app| audit::run(Place::Database(app), command).await).await
        }
        AccountCommand::Keys(command) => administer(config, async |app| keys::run(app, command).await).await,
        AccountCommand::Connections(command) => {
            let options = connections::Options {
                unknown_fields: config.unknown_fields,
                checks_at_once: config.health.concurrency,
            };
            if command.takes_credentials() && config.vimeo.verification == VerificationMode::Off {
                tracing::warn!("vimeo.verification is off: credentials are not checked at Vimeo");
            }
            if command.needs_vimeo() {
                return administer_with_vimeo(config, async |app| {
                    connections::run(Place::Database(app), options, command).await
                })
                .await;
            }
            administer(config, async |app| connections::run(Place::Database(app), options, command).await)
                .await
        }
        AccountCommand::Upload(arguments) => Box::pin(uploads::run(config, *arguments)).await,
        AccountCommand::Jobs(command) => {
            administer(config, async |app| jobs::run(Place::Database(app), command).await).await
        }
        AccountCommand::Status(arguments) => {
            administer(config, async |app| status::of_database(app, config, &arguments).await).await
        }
    }
}

/// On a remote service, through its API.
async fn run_on_service(client: &ApiClient, command: AccountCommand) -> Result<ExitCode, BoxError> {
    let place = Place::Service(client);
    match command {
        AccountCommand::Audit(command) => audit::run(place, command).await,
        AccountCommand::Keys(command) => keys::run_remotely(client, command).await,
        AccountCommand::Connections(command) => {
            connections::run(place, connections::Options::REMOTE, command).await
        }
        AccountCommand::Upload(arguments) => Box::pin(uploads::run_remotely(client, *arguments)).await,
        AccountCommand::Jobs(command) => jobs::run(place, command).await,
        AccountCommand::Status(arguments) => status::of_service(client, &arguments).await,
    }
}

impl DatabaseCommand {
    /// Its name on the command line.
    fn name(&self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Migrate => "migrate",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Config(_) => "config",
            Self::Accounts(_) => "accounts",
            Self::Keyring(_) => "keyring",
            Self::AccountKey(_) => "account-key",
            Self::ServiceSecret(_) => "service-secret",
            Self::Move(_) => "move",
        }
    }
}

/// Opens the service for one command, possibly beside the running one, and closes it afterwards.
async fn administer(
    config: &Config,
    command: impl AsyncFnOnce(&App) -> Result<ExitCode, BoxError>,
) -> Result<ExitCode, BoxError> {
    let app = Box::pin(wiring::open_for_administration(config)).await?;
    let result = command(&app).await;
    app.close().await;
    result
}

/// The same with a Vimeo client, to check new credentials as configured, and stored ones.
async fn administer_with_vimeo(
    config: &Config,
    command: impl AsyncFnOnce(&App) -> Result<ExitCode, BoxError>,
) -> Result<ExitCode, BoxError> {
    let background_tasks = TaskTracker::new();
    let app = Box::pin(wiring::open_for_credentials(config, background_tasks.clone())).await?;
    let result = command(&app).await;
    background_tasks.close();
    if tokio::time::timeout(config.shutdown, background_tasks.wait()).await.is_err() {
        tracing::warn!("tokens that were created to check credentials could not all be revoked in time");
    }
    app.close().await;
    result
}

async fn init(config: &Config) -> Result<ExitCode, BoxError> {
    let KeyringSource::File { path, .. } = &config.keyring else {
        return Err("keyring.value is set: it is the keyring, and there is nothing to create".into());
    };
    if !path.exists()
        && let Some(keys) = keyring_source::sealed_with(&config.database_url).await?
    {
        return Err(format!(
            "the database {} was sealed with {keys}, and a new keyring could not decrypt it. Restore the old keyring at \
             {}, from its backup if necessary",
            config.database_url,
            path.display()
        )
        .into());
    }
    let randomness = Randomness::system();
    let keyring = Keyring::generate(&randomness);
    let holder = keyring_source::create(config, path, &keyring, &randomness).await?;
    let holder = holder.map_or_else(String::new, |holder| format!(", encrypted by {holder}"));
    output::print(&format!(
        "Created the keyring {} with the key {}{holder}.\n\
         It encrypts everything stored: without it nothing can ever be decrypted.\n\
         Back it up now, separately from the database and its backups: both together reveal everything.\n\
         Next: vimeo-connections accounts create <name>, and vimeo-connections serve.",
        path.display(),
        keyring.primary_id()
    ))
}
