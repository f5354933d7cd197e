//! Rate limits: the requests that a user's plan allows per minute, and how many are left.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::{User, UserId};

/// A count that only a fault sets.
const SPENT_WHOLLY: u64 = u64::MAX;

const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// A Vimeo plan, which decides the rate limit and the account type. Those from `Basic` on are no longer sold but still
/// in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    Free,
    Starter,
    Standard,
    Advanced,
    Studio,
    Enterprise,
    Basic,
    Plus,
    Pro,
    Business,
    Premium,
}

impl Plan {
    /// Every plan: the current ones from the smallest limit to the largest, then the older ones.
    pub const ALL: [Self; 11] = [
        Self::Free,
        Self::Starter,
        Self::Standard,
        Self::Advanced,
        Self::Studio,
        Self::Enterprise,
        Self::Basic,
        Self::Plus,
        Self::Pro,
        Self::Business,
        Self::Premium,
    ];

    /// Requests per minute without `fields`; with `fields` the limit is twice that.
    pub fn requests_per_minute(self) -> u64 {
        match self {
            Self::Free | Self::Basic => 25,
            Self::Starter | Self::Plus => 125,
            Self::Standard | Self::Pro => 250,
            Self::Business => 500,
            Self::Advanced | Self::Premium => 750,
            Self::Studio => 1500,
            Self::Enterprise => 2500,
        }
    }

    /// Whether it is a free plan, which offers fewer settings.
    pub fn is_free(self) -> bool {
        matches!(self, Self::Free | Self::Basic)
    }

    /// The plan's name, as in a user's `account`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Starter => "starter",
            Self::Standard => "standard",
            Self::Advanced => "advanced",
            Self::Studio => "studio",
            Self::Enterprise => "enterprise",
            Self::Basic => "basic",
            Self::Plus => "plus",
            Self::Pro => "pro",
            Self::Business => "business",
            Self::Premium => "premium",
        }
    }
}

/// An unknown plan name.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownPlan;

impl fmt::Display for UnknownPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected one of {}", Plan::ALL.map(Plan::name).join(", "))
    }
}

impl std::error::Error for UnknownPlan {}

impl FromStr for Plan {
    type Err = UnknownPlan;

    fn from_str(name: &str) -> Result<Self, UnknownPlan> {
        Self::ALL.into_iter().find(|plan| plan.name() == name).ok_or(UnknownPlan)
    }
}

/// What a request counts as: Vimeo allows twice as many requests that name their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestCost {
    Whole,
    WithFields,
}

impl RequestCost {
    /// The limit for requests of this cost, if it is this many for whole ones.
    fn limit(self, requests_per_minute: u64) -> u64 {
        match self {
            Self::Whole => requests_per_minute,
            Self::WithFields => requests_per_minute.saturating_mul(2),
        }
    }
}

/// A user's rate limit after a request: the values of the three headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimitStatus {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) reset_at: Timestamp,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    TooMany,
}

/// The current windows of all users.
#[derive(Clone, Debug)]
pub(crate) struct RateLimits {
    plan: Option<Plan>,
    running: HashMap<UserId, Window>,
}

#[derive(Clone, Debug)]
struct Window {
    ends_at: Timestamp,
    spent: u64,
}

impl RateLimits {
    /// `plan` is that of users without a plan of their own.
    pub(crate) fn new(plan: Option<Plan>) -> Self {
        Self { plan, running: HashMap::new() }
    }

    /// The plan of a user.
    pub(crate) fn plan(&self, user: &User) -> Plan {
        user.plan.or(self.plan).unwrap_or(Plan::Enterprise)
    }

    /// How many requests of this cost a window of this user allows.
    pub(crate) fn limit(&self, user: &User, weight: RequestCost) -> u64 {
        weight.limit(user.requests_per_minute.unwrap_or_else(|| self.plan(user).requests_per_minute()))
    }

    /// Uses up the user's window until then, even if limits are not enforced.
    pub(crate) fn spend(&mut self, user: &User, reset_at: Timestamp) {
        self.running.insert(user.id, Window { ends_at: reset_at, spent: SPENT_WHOLLY });
    }

    /// Counts one request of this user. A rejected request is not counted.
    pub(crate) fn count(&mut self, user: &User, weight: RequestCost, now: Timestamp) -> RateLimitStatus {
        let limit = self.limit(user, weight);
        let has_limit = user.requests_per_minute.is_some() || user.plan.or(self.plan).is_some();
        let fresh = Window { ends_at: now.checked_add(WINDOW).unwrap_or(Timestamp::MAX), spent: 0 };
        let window = self.running.entry(user.id).or_insert_with(|| fresh.clone());
        if window.ends_at <= now {
            *window = fresh;
        }
        let is_enforced = has_limit || window.spent == SPENT_WHOLLY;
        let verdict = if is_enforced && window.spent >= limit {
            Verdict::TooMany
        } else {
            window.spent += 1;
            Verdict::Allowed
        };
        let left = limit.saturating_sub(window.spent);
        // Unenforced limits never report 0, which would make a careful client wait.
        let remaining = if is_enforced { left } else { left.max(1) };
        RateLimitStatus { limit, remaining, reset_at: window.ends_at, verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_found_by_its_name() {
        for plan in Plan::ALL {
            assert_eq!(plan.name().parse(), Ok(plan));
        }
        assert_eq!("gold".parse::<Plan>(), Err(UnknownPlan));
    }

    #[test]
    fn an_unenforced_window_never_runs_out() {
        let mut rate_limits = RateLimits::new(None);
        let user = User::new(UserId::first(), "Ada".to_owned());
        for _ in 0..6000 {
            let rate_limit = rate_limits.count(&user, RequestCost::WithFields, Timestamp::UNIX_EPOCH);
            assert_eq!(rate_limit.verdict, Verdict::Allowed);
            assert!(rate_limit.remaining >= 1);
        }
    }
}
