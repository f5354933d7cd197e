//! Replacing keys while the service runs: the keyring's, and those of accounts.

mod account_keys;
mod fixtures;
mod keyring;
mod kills;
mod nodes;
