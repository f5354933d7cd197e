//! Printing: answers on standard output, complaints on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::BoxError;

/// Prints an answer.
pub(crate) fn say(text: &str) -> Result<ExitCode, BoxError> {
    match writeln!(io::stdout(), "{text}") {
        // Whoever read us has seen enough (`… | head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => result?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a JSON answer.
pub(crate) fn say_json(value: &impl Serialize) -> Result<ExitCode, BoxError> {
    say(&serde_json::to_string_pretty(value)?)
}

/// Prints a table: columns as wide as their widest cell, counted in characters.
pub(crate) fn say_table(header: &[&str], rows: &[Vec<String>]) -> Result<ExitCode, BoxError> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|cell| cell.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<_> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut header.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    say(&lines.join("\n"))
}

/// Says something beside the answer, on standard error.
pub(crate) fn remark(text: &str) {
    // When standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says how far something has come, on standard error: at a terminal always in the same line.
pub(super) fn report_progress(text: &str) {
    let mut stderr = io::stderr();
    let _ = if stderr.is_terminal() {
        write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush())
    } else {
        writeln!(stderr, "{text}")
    };
}

/// Ends the line of [`report_progress`], if there is one.
pub(super) fn end_progress() {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let _ = writeln!(stderr);
    }
}

/// Prints why a command failed.
pub(crate) fn complain(error: &(dyn std::error::Error + 'static)) {
    remark(&format!("vimeo-connections: {}", with_causes(error)));
}

/// An error in words, with whatever is behind it.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
