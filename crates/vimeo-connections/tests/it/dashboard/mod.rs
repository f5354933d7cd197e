//! The pages of the dashboard, over plain HTTP as a browser without scripts requests them.

pub(crate) mod attacks;
pub(crate) mod browser;
pub(crate) mod connect;
pub(crate) mod connection_credentials;
pub(crate) mod connection_list;
pub(crate) mod connections;
pub(crate) mod keys;
pub(crate) mod person;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod sign_in;
pub(crate) mod upload_files;
pub(crate) mod upload_forms;
pub(crate) mod upload_streams;
pub(crate) mod uploads;
pub(crate) mod webhooks;
