//! JSON log lines.

use std::error::Error;
use std::fmt::{self, Write as _};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::output;

/// Formats an event as one line of JSON: time, level, fields, target, span. The library's own formatter parses and
/// reserialises the span's fields for every line, which cost a seventh of a `GET`.
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Members::begin(*event.metadata().level());
        event.record(&mut line);
        line.member("target", event.metadata().target());
        if let Some(span) = context.lookup_current() {
            // A JSON object, as written by `JsonFields`.
            let fields = span.extensions().get::<FormattedFields<N>>().map(|fields| fields.fields.clone());
            let fields = fields.as_deref().and_then(|fields| fields.strip_suffix('}'));
            line.span(fields.unwrap_or("{"), span.name());
        }
        writer.write_str(std::str::from_utf8(&line.end()).map_err(|_| fmt::Error)?)
    }
}

/// The members of a JSON object that is being written.
struct Members(Vec<u8>);

impl Members {
    fn begin(level: Level) -> Self {
        let mut time = String::with_capacity(32);
        // Writing to memory does not fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut line = Self(Vec::with_capacity(512));
        line.member("timestamp", &time);
        line.member("level", level.as_str());
        line
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }

    fn member(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.value(name);
        self.0.push(b':');
        self.value(value);
    }

    /// `fields` is a JSON object without its closing brace.
    fn span(&mut self, fields: &str, name: &str) {
        self.0.extend_from_slice(b",\"span\":");
        self.0.extend_from_slice(fields.as_bytes());
        self.0.extend_from_slice(if fields.len() > 1 { b",\"name\":" } else { b"\"name\":" });
        self.value(name);
        self.0.push(b'}');
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        // Serialising strings, numbers and booleans to memory does not fail.
        let _ = serde_json::to_writer(&mut self.0, value);
    }
}

impl Visit for Members {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // If formatting fails, the text so far is used.
        let _ = write!(text, "{value:?}");
        self.member(field.name().trim_start_matches("r#"), &text);
    }

    /// An error with its causes, because a library's text often names only the kind.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.member(field.name(), &output::with_causes(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field.name().trim_start_matches("r#"), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field.name(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field.name(), &value);
    }
}

/// The line that reports lost lines.
pub(super) fn lost_line(message: &str, lost: u64) -> Vec<u8> {
    let mut line = Members::begin(Level::WARN);
    line.member("message", message);
    line.member("lines", &lost);
    line.member("target", module_path!());
    line.end()
}

/// The line that says why the process ends.
pub(super) fn failure_line(message: &str, error: &str, exit_status: u8) -> Vec<u8> {
    let mut line = Members::begin(Level::ERROR);
    line.member("message", message);
    line.member("error", error);
    line.member("exit_status", &exit_status);
    line.member("target", module_path!());
    line.end()
}
