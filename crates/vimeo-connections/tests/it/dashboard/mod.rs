//! The pages of the dashboard, over plain HTTP as a browser without scripts requests them.

pub(crate) mod connection_credentials;
pub(crate) mod connection_list;
pub(crate) mod connections;
pub(crate) mod session;
