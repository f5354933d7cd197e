//! Version 1 of the documented API: wire types and handlers, a file a noun.

pub(crate) mod connection;
pub(crate) mod connections;
pub(crate) mod whoami;
