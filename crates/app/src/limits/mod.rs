//! Limits of accounts: the rates of requests, and the numbers of things. Rates and open streams are limited per node; what
//! is stored is limited over all nodes.

pub(crate) mod bucket;
pub(crate) mod failed_keys;
pub(crate) mod operations;
mod per_account;
pub(crate) mod rates;
pub(crate) mod share;
pub(crate) mod streams;
mod tally;
pub(crate) mod usage;
pub(crate) mod waiting;

use std::sync::Arc;

use domain::limits::AccountLimits;

use crate::App;
use bucket::Quota;

/// The configured limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// Of accounts without limits of their own.
    pub account: AccountLimits,
    /// Requests with invalid keys per minute from one address; zero: no limit.
    pub failed_keys_per_minute: u64,
    /// How many seconds of a quota per minute are admitted at once after a pause, while several accounts send requests to this
    /// node. Small quotas admit more.
    pub burst_seconds: u64,
    /// Writes of one account in progress on this node while other accounts send requests, except for those that wait for
    /// Vimeo; zero: no limit.
    pub concurrent_writes_per_account: usize,
}

impl LimitSettings {
    /// No limits: for a process that serves no clients.
    pub const NONE: Self = Self {
        account: AccountLimits::NONE,
        failed_keys_per_minute: 0,
        burst_seconds: 1,
        concurrent_writes_per_account: 0,
    };

    pub(crate) fn failed_keys_quota(&self) -> Option<Quota> {
        Quota::per_minute(self.failed_keys_per_minute, self.burst_seconds)
    }
}

impl App {
    /// Replaces the configured limits. They apply to requests from now on; those of a caller that is remembered, within a
    /// second. What was counted remains counted.
    pub fn replace_limits(&self, limits: LimitSettings) {
        self.rates.replace_burst(limits.burst_seconds);
        self.failed_keys.replace_quota(limits.failed_keys_quota());
        self.limits.store(Arc::new(limits));
    }
}
