//! API keys: authentication and access.

pub(crate) mod authentication;
