//! Secrets: where they may be, how they are sealed, and how they are wiped.

pub(crate) mod database_password;
pub(crate) mod exposures;
pub(crate) mod forged_rows;
pub(crate) mod key_exchange;
pub(crate) mod keyring;
pub(crate) mod page_exposures;
pub(crate) mod secret_leaks;
pub(crate) mod tampering;
pub(crate) mod wiping;
