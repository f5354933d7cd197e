//! Shared fixtures: environments, clusters, chaos clients, and fake servers.

pub(crate) mod backups;
pub(crate) mod bulk_fixtures;
pub(crate) mod canaries;
pub(crate) mod certificates;
pub(crate) mod chaos_clients;
pub(crate) mod client_fixture;
pub(crate) mod cluster;
pub(crate) mod connections;
pub(crate) mod create_load;
pub(crate) mod failing_disk;
pub(crate) mod file_servers;
pub(crate) mod harness;
pub(crate) mod installation;
pub(crate) mod keyring;
pub(crate) mod migration;
pub(crate) mod monitoring;
pub(crate) mod patroni;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod processes;
pub(crate) mod random;
pub(crate) mod raw_http;
pub(crate) mod remote_cli;
pub(crate) mod tools;
pub(crate) mod uploads;
pub(crate) mod verification;
