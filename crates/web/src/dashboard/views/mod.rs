//! What the pages of the dashboard show: plain structs of texts, and their templates. Handlers fill them; nothing here
//! performs I/O or knows the domain.

pub(crate) mod audit;
pub(crate) mod authorization;
pub(crate) mod connection;
pub(crate) mod connection_forms;
pub(crate) mod connections;
pub(crate) mod endpoint;
pub(crate) mod hosted;
pub(crate) mod keys;
pub(crate) mod new_upload;
pub(crate) mod parts;
pub(crate) mod problem;
pub(crate) mod settings;
pub(crate) mod shell;
pub(crate) mod sign_in;
pub(crate) mod upload;
pub(crate) mod uploads;
pub(crate) mod webhooks;
