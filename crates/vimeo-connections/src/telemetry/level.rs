//! The level of the log, which a reload changes. Each place that logs remembers whether it is enabled, so that a line below
//! the level costs nothing; a new level makes all of them ask again.

use std::sync::{Arc, OnceLock};

use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Filter};
use web::Live;

use super::traces;

/// This service's crates, whose lines contain no secrets. Libraries are logged from warnings on, whatever the level: an
/// HTTP library may log headers at trace level.
const OWN_TARGETS: [&str; 7] = ["vimeo_connections", "web", "app", "store", "vimeo", "egress", "seal"];
/// The resolver's libraries log the names they look up in warnings, and a webhook's host must never be logged. What is only
/// for traces is not logged either.
const SILENT_TARGETS: [&str; 4] = ["hickory_resolver", "hickory_net", "hickory_proto", traces::TARGET];

/// There is one level per process, as there is one log.
static CURRENT: OnceLock<LiveTargets> = OnceLock::new();

/// What is logged.
#[derive(Debug, Clone)]
pub(super) struct LiveTargets(Live<Targets>);

/// The filter of the log, at first with this level.
pub(super) fn start(level: LevelFilter) -> LiveTargets {
    CURRENT.get_or_init(|| LiveTargets(Live::new(of_level(level)))).clone()
}

/// Changes the level of the log.
pub(crate) fn replace(level: LevelFilter) {
    if let Some(current) = CURRENT.get() {
        current.0.replace(of_level(level));
        tracing_core::callsite::rebuild_interest_cache();
    }
}

fn of_level(level: LevelFilter) -> Targets {
    let libraries = level.min(LevelFilter::WARN);
    let targets = Targets::new().with_default(libraries);
    let targets = targets.with_targets(OWN_TARGETS.map(|target| (target, level)));
    targets.with_targets(SILENT_TARGETS.map(|target| (target, LevelFilter::OFF)))
}

impl LiveTargets {
    fn current(&self) -> Arc<Targets> {
        self.0.get().clone()
    }
}

impl<S: Subscriber> Layer<S> for LiveTargets {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        Layer::<S>::register_callsite(&*self.current(), metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        Layer::<S>::enabled(&*self.current(), metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(&*self.current())
    }
}

impl<S> Filter<S> for LiveTargets {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        Filter::<S>::enabled(&*self.current(), metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        Filter::<S>::callsite_enabled(&*self.current(), metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&*self.current())
    }
}
