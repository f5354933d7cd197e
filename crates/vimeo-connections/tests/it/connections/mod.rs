//! Connections over the HTTP API: create, read, update, delete, list, verify.

pub(crate) mod authorization_flows;
pub(crate) mod authorization_retries;
pub(crate) mod authorizations;
pub(crate) mod boundary_values;
pub(crate) mod concurrent_creates;
pub(crate) mod concurrent_updates;
pub(crate) mod create_validation;
pub(crate) mod create_validation_rows;
pub(crate) mod delete;
pub(crate) mod idempotency;
pub(crate) mod idempotency_crashes;
pub(crate) mod linearizability;
pub(crate) mod pagination;
pub(crate) mod smoke;
pub(crate) mod update;
pub(crate) mod update_credentials;
pub(crate) mod update_validation;
pub(crate) mod verification;
pub(crate) mod verification_failures;
pub(crate) mod verification_load;
pub(crate) mod verification_requests;
