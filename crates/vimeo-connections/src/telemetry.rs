//! Logs: JSON or readable lines on standard error. No body, no header and no secret ever enters one.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
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
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_span_list(false)).init(),
        LogFormat::Pretty => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_ansi(is_terminal)).init();
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        // A literal from the program's text is shown; a message made at run time could hold anything.
        let message = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(message withheld)");
        tracing::error!(location, "the program panicked: {message}");
    }));
}
