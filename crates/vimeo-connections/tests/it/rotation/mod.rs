//! Replacing keys while the service runs: the keyring's, those of accounts, and the service secret.

mod account_keys;
mod fixtures;
mod keyring;
mod kills;
mod nodes;
mod service_secret;
