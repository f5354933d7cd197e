//! Metrics, and the dashboard and the alerts in `packaging/`.

pub(crate) mod alerts;
pub(crate) mod dashboard;
pub(crate) mod exposition;
