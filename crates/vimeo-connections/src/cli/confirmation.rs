//! Asks for confirmation of actions that cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use clap::Args;

use super::{BoxError, output};

/// Limit for the length of an answer.
const ANSWER_MAX_BYTES: u64 = 4096;

/// Whether the action was confirmed by an argument.
#[derive(Args)]
pub(super) struct Confirmation {
    /// Do not ask for confirmation; required without a terminal
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Succeeds with `--yes`, or if the user types the name of what is to be deleted.
    pub(super) fn ask(&self, what: &str, name: &str) -> Result<(), BoxError> {
        if self.is_typed(&format!("{what} cannot be undone"), "its name", name)? {
            return Ok(());
        }
        Err("that is not the name; nothing was deleted".into())
    }

    /// The same with any sentence (without its period) and a word to type.
    pub(super) fn ask_word(&self, sentence: &str, word: &str) -> Result<(), BoxError> {
        if self.is_typed(sentence, "the word", word)? {
            return Ok(());
        }
        Err("that is not the word; nothing was changed".into())
    }

    fn is_typed(&self, sentence: &str, what: &str, word: &str) -> Result<bool, BoxError> {
        if self.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            return Err(format!("{sentence}; pass --yes, or run this at a terminal").into());
        }
        output::status(&format!("{sentence}. Type {what} ({word}) to continue:"));
        let mut answer = String::new();
        io::stdin().lock().take(ANSWER_MAX_BYTES).read_line(&mut answer)?;
        Ok(answer.trim() == word.trim())
    }
}
