//! Output: results on standard output, errors and status on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::BoxError;

/// Prints a result.
pub(crate) fn print(text: &str) -> Result<ExitCode, BoxError> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if is_closed_pipe(&error) => {}
        result => result?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the reader has closed the pipe (`… | head`), which is no failure.
pub(crate) fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Prints a result as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<ExitCode, BoxError> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Prints a table with columns as wide as their widest cell, in characters.
pub(crate) fn print_table(header: &[&str], rows: &[Vec<String>]) -> Result<ExitCode, BoxError> {
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
    print(&lines.join("\n"))
}

/// A text without line breaks, control characters and direction overrides.
pub(crate) fn on_one_line(text: &str) -> String {
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect()
}

/// Titles and texts, one line each.
pub(crate) fn to_lines(lines: &[(&str, String)]) -> String {
    let lines: Vec<_> =
        lines.iter().map(|(title, text)| format!("{title:<17}  {}", on_one_line(text))).collect();
    lines.join("\n")
}

/// Prints a status message on standard error.
pub(crate) fn status(text: &str) {
    // If standard error is closed, there is nowhere to report to.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints progress on standard error; on a terminal always in the same line.
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

/// Prints the error of a command.
pub(crate) fn report_error(error: &(dyn std::error::Error + 'static)) {
    status(&format!("vimeo-connections: {}", with_causes(error)));
}

/// An error's text with its causes.
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
