//! Metrics and traces, and the dashboard and the alerts in `packaging/`.

pub(crate) mod alerts;
pub(crate) mod dashboard;
pub(crate) mod exposition;
pub(crate) mod traces;
