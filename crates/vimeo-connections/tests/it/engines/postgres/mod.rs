//! PostgreSQL: outages, failover, lost connections, TLS, several nodes.

pub(crate) mod connection_loss;
pub(crate) mod failover;
pub(crate) mod locks;
pub(crate) mod nodes;
pub(crate) mod outages;
pub(crate) mod tls;
