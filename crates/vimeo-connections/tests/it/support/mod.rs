//! Fixtures, clusters, clients and fake servers that the tests share.

pub(crate) mod bulk_fixtures;
pub(crate) mod canaries;
pub(crate) mod chaos_clients;
pub(crate) mod client_fixture;
pub(crate) mod cluster;
pub(crate) mod create_load;
pub(crate) mod file_servers;
pub(crate) mod harness;
pub(crate) mod postgres;
pub(crate) mod tools;
pub(crate) mod uploads;
