//! Asking a person to confirm what cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use clap::Args;

use super::{BoxError, output};

/// The longest answer that is read.
const ANSWER_MAX_BYTES: u64 = 4096;

/// Whether it was confirmed beforehand.
#[derive(Args)]
pub(super) struct Confirmation {
    /// Do not ask for confirmation; required without a terminal
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Goes on only if `--yes` was said, or somebody at the terminal types the name of what is to be deleted.
    pub(super) fn ask(&self, what: &str, name: &str) -> Result<(), BoxError> {
        if self.is_typed(&format!("{what} cannot be undone"), "its name", name)? {
            return Ok(());
        }
        Err("that is not the name; nothing was deleted".into())
    }

    /// The same for anything else: a sentence without its full stop, and a word to be typed.
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
        output::remark(&format!("{sentence}. Type {what} ({word}) to continue:"));
        let mut answer = String::new();
        io::stdin().lock().take(ANSWER_MAX_BYTES).read_line(&mut answer)?;
        Ok(answer.trim() == word.trim())
    }
}
