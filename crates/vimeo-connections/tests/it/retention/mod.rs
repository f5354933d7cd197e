//! Retention: what is deleted by age, what is kept for a retry, and what an export has of it.

pub(crate) mod exports;
pub(crate) mod retries;
pub(crate) mod sweeps;
