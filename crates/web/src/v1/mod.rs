//! Version 1 of the documented API: wire types and handlers, a file a noun.

pub(crate) mod connections;
