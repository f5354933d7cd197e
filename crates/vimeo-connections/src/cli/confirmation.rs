//! Asking a person to confirm what cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use clap::Args;

use super::{BoxError, output};

/// The longest answer that is read.
const ANSWER_MAX_BYTES: u64 = 4096;

/// Whether it was confirmed beforehand.
#[derive(Args)]
pub(super) struct Confirmation {
    /// Do not ask; needed where there is no terminal to ask at
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Goes on only if `--yes` was said, or somebody at the terminal types the name.
    pub(super) fn ask(&self, what: &str, name: &str) -> Result<(), BoxError> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(format!("{what} cannot be undone; say --yes, or run this at a terminal").into());
        }
        output::remark(&format!("{what} cannot be undone. Type its name ({name}) to go on:"));
        let mut answer = String::new();
        io::stdin().lock().take(ANSWER_MAX_BYTES).read_line(&mut answer)?;
        if answer.trim() == name.trim() {
            return Ok(());
        }
        Err("that is not the name; nothing was deleted".into())
    }
}
