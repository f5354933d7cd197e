//! Logs: JSON or readable lines on standard error. No body, no header and no secret ever enters one.

use std::any::Any;

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
        tracing::error!(location, "the program panicked: {}", shown(panic.payload()));
    }));
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
