//! The command line.

pub(crate) mod admin;
pub(crate) mod backup;
pub(crate) mod bulk_upload;
pub(crate) mod bulk_upload_remote;
pub(crate) mod byte_order_mark;
pub(crate) mod config_check;
pub(crate) mod config_check_property;
pub(crate) mod connections;
pub(crate) mod connections_health;
pub(crate) mod exit_status;
pub(crate) mod generated;
pub(crate) mod healthcheck;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod remote;
pub(crate) mod remote_audit;
pub(crate) mod remote_keys;
pub(crate) mod remote_upload;
pub(crate) mod restore;
pub(crate) mod status;
pub(crate) mod upload;
pub(crate) mod upload_lease;
pub(crate) mod version;
