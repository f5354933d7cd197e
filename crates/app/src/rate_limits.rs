//! The rate limits of tokens, shared by everything that uses a connection on this node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::ConnectionId;
use vimeo::RateLimit;

/// How many connections are remembered that nothing uses.
const REMEMBERED_MAX: usize = 16_384;

/// The rate limit of each connection's token.
#[derive(Debug, Default)]
pub(crate) struct RateLimits(Mutex<HashMap<ConnectionId, Arc<RateLimit>>>);

impl RateLimits {
    /// That of this connection.
    pub(crate) fn of(&self, connection: &ConnectionId) -> Arc<RateLimit> {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.len() > REMEMBERED_MAX {
            limits.retain(|_, limit| Arc::strong_count(limit) > 1);
        }
        limits.entry(connection.clone()).or_default().clone()
    }
}
