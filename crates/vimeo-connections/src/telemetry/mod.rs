//! Logging: JSON or readable lines on standard error. Bodies, headers and secrets are never logged.
//! A background thread writes the lines, so that a blocked standard error does not block requests.

mod json;
mod level;
mod queue;
mod repeat_filter;
pub(crate) mod traces;

use std::any::Any;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, TracesConfig};
use json::JsonLine;
pub(crate) use level::replace as replace_level;
use queue::Queue;
use repeat_filter::{RepeatFilter, Repeated};

/// How long exit, or a panic, waits for the log to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// The message where lines were lost.
const LOST: &str =
    "log lines are missing here: standard error was not read fast enough, or could not be written";

/// The log of the process.
struct Log {
    queue: Queue,
    format: LogFormat,
    repeats: Mutex<RepeatFilter>,
}

/// There is one log per process, as there is one standard error.
static LOG: OnceLock<Log> = OnceLock::new();

impl Log {
    fn repeats(&self) -> MutexGuard<'_, RepeatFilter> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts logging, including panics, and the export of traces. Failures that repeat within `repeat_window` are counted.
pub(crate) fn start(
    format: LogFormat,
    level: LevelFilter,
    repeat_window: Duration,
    otlp: Option<&TracesConfig>,
) -> io::Result<()> {
    // A descriptor of its own: the writer may block, and must not hold the lock of `io::stderr`.
    let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let report = match format {
        LogFormat::Json => |lost| json::lost_line(LOST, lost),
        LogFormat::Pretty => |lost| format!("WARN {LOST} lines={lost}\n").into_bytes(),
    };
    let queue = Queue::start(output, report)?;
    let log = Log { queue: queue.clone(), format, repeats: Mutex::new(RepeatFilter::new(repeat_window)) };
    if LOG.set(log).is_err() {
        return Ok(());
    }
    let targets = level::start(level);
    let tracer = otlp.map(traces::start).transpose().map_err(io::Error::other)?;
    // The type of a layer depends on what is below it.
    macro_rules! install {
        (|$lines:ident| $layer:expr) => {{
            match tracer {
                None => {
                    let $lines = tracing_subscriber::fmt::layer().with_writer(move || queue.clone());
                    // One filter for all is the fastest.
                    tracing_subscriber::registry().with(targets).with($layer).init();
                }
                Some(tracer) => {
                    let $lines = tracing_subscriber::fmt::layer().with_writer(move || queue.clone());
                    let only_traces = Targets::new().with_target(traces::TARGET, LevelFilter::DEBUG);
                    let spans = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false);
                    let spans = spans.with_threads(false).with_level(false).with_target(false);
                    let spans = spans.with_tracked_inactivity(false);
                    let lines = $layer.with_filter(targets);
                    tracing_subscriber::registry().with(lines).with(spans.with_filter(only_traces)).init();
                }
            }
        }};
    }
    match format {
        LogFormat::Json => {
            install!(|lines| lines.fmt_fields(JsonFields::new()).event_format(Deduplicated(JsonLine)));
        }
        LogFormat::Pretty => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            install!(|lines| lines.with_ansi(is_terminal).event_format(Deduplicated(Format::default())));
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "the program panicked: {}", literal_message(panic.payload()));
        flush();
    }));
    Ok(())
}

/// Writes queued lines, as far as standard error accepts them.
fn flush() {
    if let Some(log) = LOG.get() {
        log.queue.flush(FLUSH_TIMEOUT);
    }
}

/// The same on exit, including counts that were not reported yet.
pub(crate) fn finish() {
    if let Some(log) = LOG.get() {
        let repeated = log.repeats().all();
        report(repeated);
        flush();
    }
}

/// Reports repeated failures whose window has ended. Call this every few seconds.
pub(crate) fn report_repeats() {
    if let Some(log) = LOG.get() {
        let repeated = log.repeats().ended(Instant::now());
        report(repeated);
    }
}

fn report(repeated: Vec<Repeated>) {
    for Repeated { level, message, times } in repeated {
        match level {
            Level::ERROR => tracing::error!(failure = message, times, "the same failure was repeated"),
            Level::WARN => tracing::warn!(failure = message, times, "the same failure was repeated"),
            _ => tracing::info!(failure = message, times, "the same failure was repeated"),
        }
    }
}

/// Reports why the process ends, in the log's format and regardless of its level. `false` if the log is not JSON: then
/// the caller prints it.
pub(crate) fn report_failure(error: &str, exit_status: u8) -> bool {
    let Some(log) = LOG.get().filter(|log| log.format == LogFormat::Json) else { return false };
    log.queue.push(&json::failure_line("the service ends because of an error", error, exit_status));
    flush();
    true
}

/// Logs a line once and counts its repetitions.
struct Deduplicated<F>(F);

impl<S, N, F> FormatEvent<S, N> for Deduplicated<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let metadata = event.metadata();
        // Only failures repeat for a long time: warnings, errors, and lines with a `cause`. The reports of repetitions
        // are not counted themselves.
        let is_failure = *metadata.level() <= Level::WARN
            || (*metadata.level() == Level::INFO && metadata.fields().field("cause").is_some());
        let is_counted = is_failure && metadata.target() != module_path!();
        if is_counted && !LOG.get().is_none_or(|log| is_first(log, event, job_of(context, event).as_deref()))
        {
            return Ok(());
        }
        self.0.format_event(context, writer, event)
    }
}

/// The job of an event, from its span. Failures that concern all jobs, such as those of Vimeo or the database, are
/// logged by other crates.
fn job_of<S, N>(context: &FmtContext<'_, S, N>, event: &Event<'_>) -> Option<String>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    if !matches!(event.metadata().target().split("::").next(), Some("app" | "egress")) {
        return None;
    }
    let span = context.lookup_current().filter(|span| span.name() == "job")?;
    span.extensions().get::<FormattedFields<N>>().map(|fields| fields.fields.clone())
}

fn is_first(log: &Log, event: &Event<'_>, job: Option<&str>) -> bool {
    let mut contents = Contents { hasher: DefaultHasher::new(), message: String::new() };
    event.metadata().callsite().hash(&mut contents.hasher);
    job.hash(&mut contents.hasher);
    event.record(&mut contents);
    let (line, level) = (contents.hasher.finish(), *event.metadata().level());
    log.repeats().is_first(line, level, Instant::now(), || contents.message)
}

/// The content of an event, without its span.
struct Contents {
    hasher: DefaultHasher,
    message: String,
}

impl Visit for Contents {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        (field.name(), &text).hash(&mut self.hasher);
        if field.name() == "message" {
            self.message = text;
        }
    }
}

/// The part of a panic message that is safe to log: a literal. A message formatted at run time could contain anything.
fn literal_message(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(message withheld)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(panics: fn(&str)) -> &'static str {
        let secret = String::from("canary");
        let payload = std::panic::catch_unwind(|| panics(&secret)).unwrap_err();
        literal_message(&*payload)
    }

    #[test]
    fn a_panic_shows_literals_and_withholds_formatted_messages() {
        assert_eq!(message_of(|_| panic!("a literal")), "a literal");
        assert_eq!(message_of(|secret| panic!("with {secret}")), "(message withheld)");
        assert_eq!(message_of(|secret| panic!("{secret}")), "(message withheld)");
        assert_eq!(message_of(|secret| assert_eq!(secret, "")), "(message withheld)");
        assert_eq!(message_of(|secret| assert!(secret.parse::<u8>().unwrap() > 0)), "(message withheld)");
        assert_eq!(message_of(|secret| std::panic::panic_any(secret.to_owned())), "(message withheld)");
    }
}
