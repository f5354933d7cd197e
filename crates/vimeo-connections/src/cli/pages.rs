//! What is generated from the command line and the API: documentation pages, shell completions and manual pages.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use super::{BoxError, output};
use crate::config;

/// The name of the binary.
const NAME: &str = "vimeo-connections";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print a shell's completion script
    Completions { shell: Shell },
    /// Write the generated documentation pages into a directory
    #[command(hide = true)]
    Docs { directory: PathBuf },
    /// Write a manual page for each command
    ManPages {
        /// An existing directory
        directory: PathBuf,
    },
}

/// A shell that completions are generated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::Completions { shell } => print_completions(*shell),
        Command::Docs { directory } => write_docs(directory),
        Command::ManPages { directory } => write_manual(directory),
    }
}

/// Writes the generated documentation pages.
fn write_docs(directory: &Path) -> Result<ExitCode, BoxError> {
    std::fs::write(directory.join("errors.md"), web::errors_markdown())?;
    std::fs::write(directory.join("config.md"), config::markdown())?;
    std::fs::write(directory.join("openapi.json"), web::openapi_json(config::DEFAULT_BASE_PATH))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the completion script of a shell.
fn print_completions(shell: Shell) -> Result<ExitCode, BoxError> {
    let mut command = super::command();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => clap_complete::generate(clap_complete::Shell::Bash, &mut command, NAME, &mut script),
        Shell::Zsh => clap_complete::generate(clap_complete::Shell::Zsh, &mut command, NAME, &mut script),
        Shell::Fish => clap_complete::generate(clap_complete::Shell::Fish, &mut command, NAME, &mut script),
    }
    let script = String::from_utf8(script)?;
    let script = if shell == Shell::Bash { with_one_spelling(&script) } else { script };
    output::print(script.trim_end())
}

/// `clap_complete` 4.6 writes a name with a hyphen in two ways, so that bash completes nothing after a subcommand
/// (clap issue 6421). Changes nothing once that is fixed.
fn with_one_spelling(script: &str) -> String {
    script.replace("vimeo__subcmd__connections", "vimeo__connections")
}

/// Writes a manual page for each command that is not hidden.
fn write_manual(directory: &Path) -> Result<ExitCode, BoxError> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(super::command(), directory))
        .map_err(|error| format!("the manual pages could not be written to {}: {error}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
