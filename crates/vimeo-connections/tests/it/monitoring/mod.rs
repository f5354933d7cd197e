//! Metrics, and the dashboard and the alerts in `packaging/`.

pub(crate) mod exposition;
