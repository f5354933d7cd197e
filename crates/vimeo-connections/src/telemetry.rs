//! Logs: JSON or readable lines on standard error. No body, no header and no secret ever enters one.

use std::any::Any;
use std::fmt::{self, Write as _};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

/// Our own crates, whose lines are known to hold no secret. The libraries' are shown from warnings on, at any level
/// asked for: an HTTP library that traces may trace headers.
const OWN_TARGETS: [&str; 6] = ["vimeo_connections", "web", "app", "store", "vimeo", "seal"];

/// Starts logging, and sends panics there too.
pub(crate) fn start(format: LogFormat, level: LevelFilter) {
    let libraries = level.min(LevelFilter::WARN);
    let targets =
        Targets::new().with_default(libraries).with_targets(OWN_TARGETS.map(|target| (target, level)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(targets);
    match format {
        LogFormat::Json => {
            registry.with(lines.fmt_fields(JsonFields::new()).event_format(JsonLine)).init();
        }
        LogFormat::Pretty => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_ansi(is_terminal)).init();
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "the program panicked: {}", shown(panic.payload()));
    }));
}

/// An event as one line of JSON: when, how grave, its fields, from where, in which request. The library's own way of
/// writing the same takes its span's fields apart and puts them together again for every line: a seventh of all that a
/// `GET` cost.
struct JsonLine;

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
        let mut time = String::with_capacity(32);
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Members(Vec::with_capacity(512));
        line.member("timestamp", &time);
        line.member("level", event.metadata().level().as_str());
        event.record(&mut line);
        line.member("target", event.metadata().target());
        if let Some(span) = context.lookup_current() {
            // As `JsonFields` wrote them: an object.
            let fields = span.extensions().get::<FormattedFields<N>>().map(|fields| fields.fields.clone());
            let fields = fields.as_deref().and_then(|fields| fields.strip_suffix('}'));
            line.span(fields.unwrap_or("{"), span.name());
        }
        line.0.extend_from_slice(b"}\n");
        writer.write_str(std::str::from_utf8(&line.0).map_err(|_| fmt::Error)?)
    }
}

/// The members of a JSON object, as far as it is written.
struct Members(Vec<u8>);

impl Members {
    fn member(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.value(name);
        self.0.push(b':');
        self.value(value);
    }

    /// `fields` is an object without its end.
    fn span(&mut self, fields: &str, name: &str) {
        self.0.extend_from_slice(b",\"span\":");
        self.0.extend_from_slice(fields.as_bytes());
        self.0.extend_from_slice(if fields.len() > 1 { b",\"name\":" } else { b"\"name\":" });
        self.value(name);
        self.0.push(b'}');
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        // Texts, numbers and flags, into memory: nothing that could fail.
        let _ = serde_json::to_writer(&mut self.0, value);
    }
}

impl Visit for Members {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // What cannot be shown is shown as far as it goes.
        let _ = write!(text, "{value:?}");
        self.member(field.name().trim_start_matches("r#"), &text);
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

/// What may be told of a panic: a literal from the program's text. A message made at run time could hold anything.
fn shown(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(message withheld)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_of(panics: fn(&str)) -> &'static str {
        let secret = String::from("canary");
        let payload = std::panic::catch_unwind(|| panics(&secret)).unwrap_err();
        shown(&*payload)
    }

    #[test]
    fn a_panic_shows_literals_and_withholds_what_was_made_at_run_time() {
        assert_eq!(shown_of(|_| panic!("a literal")), "a literal");
        assert_eq!(shown_of(|secret| panic!("with {secret}")), "(message withheld)");
        assert_eq!(shown_of(|secret| panic!("{secret}")), "(message withheld)");
        assert_eq!(shown_of(|secret| assert_eq!(secret, "")), "(message withheld)");
        assert_eq!(shown_of(|secret| assert!(secret.parse::<u8>().unwrap() > 0)), "(message withheld)");
        assert_eq!(shown_of(|secret| std::panic::panic_any(secret.to_owned())), "(message withheld)");
    }
}
