//! What tests share: a running sandbox, clients for it, and the programs that tests start.

pub(crate) mod browser;
pub(crate) mod connection;
pub(crate) mod process;
pub(crate) mod publication;
pub(crate) mod test_sandbox;
pub(crate) mod tools;
pub(crate) mod uploads;
