//! Version 1 of the API: JSON types and handlers.

pub(crate) mod api_key;
pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod authorization;
pub(crate) mod authorizations;
pub(crate) mod connection;
pub(crate) mod connection_health;
pub(crate) mod connections;
pub(crate) mod events;
pub(crate) mod job;
pub(crate) mod job_update;
pub(crate) mod jobs;
pub(crate) mod upload;
pub(crate) mod upload_body;
pub(crate) mod upload_fields;
mod upload_publication;
pub(crate) mod uploads;
pub(crate) mod webhook_deliveries;
pub(crate) mod webhook_endpoint;
pub(crate) mod webhook_endpoints;
pub(crate) mod webhook_event;
pub(crate) mod webhook_secrets;
pub(crate) mod whoami;
