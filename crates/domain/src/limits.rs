//! The limits of an account: the rates of its requests, and the numbers of things it may have. Zero means no limit.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The greatest value of a limit.
pub const LIMIT_MAX: u64 = 1_000_000_000;

/// A limit of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Requests of all its API keys per minute, on one node.
    RequestsPerMinute,
    /// Requests of each of its API keys per minute, on one node.
    KeyRequestsPerMinute,
    /// Connections.
    Connections,
    /// Jobs that have not ended.
    JobsInProgress,
    /// Idempotency keys, which are kept for a day.
    IdempotencyRecords,
    /// Open event streams on one node.
    EventStreams,
    /// Webhook endpoints.
    WebhookEndpoints,
    /// Authorizations that have not ended.
    OpenAuthorizations,
}

/// A value for each limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerLimit<T> {
    /// For [`Limit::RequestsPerMinute`].
    pub requests_per_minute: T,
    /// For [`Limit::KeyRequestsPerMinute`].
    pub key_requests_per_minute: T,
    /// For [`Limit::Connections`].
    pub connections: T,
    /// For [`Limit::JobsInProgress`].
    pub jobs_in_progress: T,
    /// For [`Limit::IdempotencyRecords`].
    pub idempotency_records: T,
    /// For [`Limit::EventStreams`].
    pub event_streams: T,
    /// For [`Limit::WebhookEndpoints`].
    pub webhook_endpoints: T,
    /// For [`Limit::OpenAuthorizations`].
    pub open_authorizations: T,
}

/// The limits that apply to an account; zero: no limit.
pub type AccountLimits = PerLimit<u64>;

/// What an operator set for one account; `None`: the configuration applies.
pub type LimitOverrides = PerLimit<Option<u64>>;

/// Changes of the overrides of an account.
pub type LimitChanges = PerLimit<LimitChange>;

/// A change of one override.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LimitChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is removed: the configuration applies again.
    Reset,
    /// It is this.
    Set(u64),
}

/// The text does not name a limit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is none of the limits: {}", Limit::ALL.map(Limit::as_str).join(", "))]
pub struct UnknownLimit;

impl Limit {
    /// All limits.
    pub const ALL: [Self; 8] = [
        Self::RequestsPerMinute,
        Self::KeyRequestsPerMinute,
        Self::Connections,
        Self::JobsInProgress,
        Self::IdempotencyRecords,
        Self::EventStreams,
        Self::WebhookEndpoints,
        Self::OpenAuthorizations,
    ];

    /// The name, for operators and clients.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests-per-minute",
            Self::KeyRequestsPerMinute => "key-requests-per-minute",
            Self::Connections => "connections",
            Self::JobsInProgress => "jobs-in-progress",
            Self::IdempotencyRecords => "idempotency-records",
            Self::EventStreams => "event-streams",
            Self::WebhookEndpoints => "webhook-endpoints",
            Self::OpenAuthorizations => "open-authorizations",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Limit {
    type Err = UnknownLimit;

    /// With hyphens, or with underscores as in the configuration.
    fn from_str(text: &str) -> Result<Self, UnknownLimit> {
        let text = text.replace('_', "-");
        Self::ALL.into_iter().find(|limit| limit.as_str() == text).ok_or(UnknownLimit)
    }
}

impl<T> PerLimit<T> {
    /// The value for a limit.
    pub fn get(&self, limit: Limit) -> &T {
        match limit {
            Limit::RequestsPerMinute => &self.requests_per_minute,
            Limit::KeyRequestsPerMinute => &self.key_requests_per_minute,
            Limit::Connections => &self.connections,
            Limit::JobsInProgress => &self.jobs_in_progress,
            Limit::IdempotencyRecords => &self.idempotency_records,
            Limit::EventStreams => &self.event_streams,
            Limit::WebhookEndpoints => &self.webhook_endpoints,
            Limit::OpenAuthorizations => &self.open_authorizations,
        }
    }

    /// Sets the value for a limit; returns the previous one.
    pub fn set(&mut self, limit: Limit, value: T) -> T {
        let place = match limit {
            Limit::RequestsPerMinute => &mut self.requests_per_minute,
            Limit::KeyRequestsPerMinute => &mut self.key_requests_per_minute,
            Limit::Connections => &mut self.connections,
            Limit::JobsInProgress => &mut self.jobs_in_progress,
            Limit::IdempotencyRecords => &mut self.idempotency_records,
            Limit::EventStreams => &mut self.event_streams,
            Limit::WebhookEndpoints => &mut self.webhook_endpoints,
            Limit::OpenAuthorizations => &mut self.open_authorizations,
        };
        std::mem::replace(place, value)
    }

    /// The values of a function of each limit.
    pub fn from_fn(mut value: impl FnMut(Limit) -> T) -> Self {
        Self {
            requests_per_minute: value(Limit::RequestsPerMinute),
            key_requests_per_minute: value(Limit::KeyRequestsPerMinute),
            connections: value(Limit::Connections),
            jobs_in_progress: value(Limit::JobsInProgress),
            idempotency_records: value(Limit::IdempotencyRecords),
            event_streams: value(Limit::EventStreams),
            webhook_endpoints: value(Limit::WebhookEndpoints),
            open_authorizations: value(Limit::OpenAuthorizations),
        }
    }
}

impl AccountLimits {
    /// No limit at all: for the operator.
    pub const NONE: Self = Self {
        requests_per_minute: 0,
        key_requests_per_minute: 0,
        connections: 0,
        jobs_in_progress: 0,
        idempotency_records: 0,
        event_streams: 0,
        webhook_endpoints: 0,
        open_authorizations: 0,
    };
}

impl LimitOverrides {
    /// The limits of an account with these overrides.
    pub fn over(&self, configured: &AccountLimits) -> AccountLimits {
        PerLimit::from_fn(|limit| self.get(limit).unwrap_or(*configured.get(limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_name_and_a_place_of_its_own() {
        let numbered = PerLimit::from_fn(Limit::as_str);
        for limit in Limit::ALL {
            assert_eq!(limit.as_str().parse(), Ok(limit));
            assert_eq!(*numbered.get(limit), limit.as_str());
            let mut changed = numbered;
            assert_eq!(changed.set(limit, "new"), limit.as_str());
            assert_eq!(Limit::ALL.iter().filter(|other| *changed.get(**other) == "new").count(), 1);
        }
        assert_eq!("connection".parse::<Limit>(), Err(UnknownLimit));
        assert!(UnknownLimit.to_string().contains("connections, jobs-in-progress"));
    }

    #[test]
    fn an_override_replaces_the_configured_limit_even_by_none() {
        let configured = PerLimit::from_fn(|_| 7);
        let overrides = LimitOverrides { connections: Some(0), event_streams: Some(9), ..Default::default() };
        let effective = overrides.over(&configured);
        assert_eq!((effective.connections, effective.event_streams, effective.jobs_in_progress), (0, 9, 7));
    }
}
