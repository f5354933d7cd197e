//! API keys: authentication, access, and their management.

pub(crate) mod access_matrix;
pub(crate) mod api_keys;
pub(crate) mod authentication;
pub(crate) mod commands;
pub(crate) mod other_accounts;
