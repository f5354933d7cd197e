//! The service as a process: signals, logs, health, environment.

pub(crate) mod activation;
pub(crate) mod environment;
pub(crate) mod full_disk_at_start;
pub(crate) mod lifecycle;
pub(crate) mod log;
pub(crate) mod log_backpressure;
pub(crate) mod readiness;
pub(crate) mod reload;
pub(crate) mod supervisor;
