//! The columns of endpoints and deliveries, and the only mapping between them and domain values.

use std::time::Duration;

use domain::id::{AccountId, DeliveryId, EndpointId};
use domain::job::JobId;
use domain::time::Timestamp;
use domain::webhook::{
    Attempt, AttemptResult, Delivery, DeliveryStatus, DisabledReason, Endpoint, EndpointState, EventFilter,
};

/// The column whose value the service cannot have written.
type Impossible = &'static str;

/// The columns of an endpoint that are not sealed.
pub(crate) struct EndpointColumns {
    pub(crate) account_id: String,
    pub(crate) endpoint_id: String,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) version: i64,
    pub(crate) events: Option<i64>,
    pub(crate) is_enabled: bool,
    pub(crate) disabled_reason: Option<String>,
    pub(crate) failing_since: Option<i64>,
}

impl EndpointColumns {
    pub(crate) fn into_endpoint(self) -> Result<Endpoint, Impossible> {
        let reason = self.disabled_reason.as_deref();
        let reason = reason.map(|name| DisabledReason::from_stored(name).ok_or("disabled_reason"));
        let reason = reason.transpose()?;
        Ok(Endpoint {
            id: EndpointId::from_stored(self.endpoint_id),
            account_id: AccountId::from_stored(self.account_id),
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
            version: u64::try_from(self.version).map_err(|_| "version")?,
            events: EventFilter::from_stored(self.events),
            state: if self.is_enabled { EndpointState::Enabled } else { EndpointState::Disabled(reason) },
            failing_since: self.failing_since.map(Timestamp::from_micros),
        })
    }
}

/// The columns of a delivery without its content.
pub(crate) struct DeliveryColumns {
    pub(crate) account_id: String,
    pub(crate) delivery_id: String,
    pub(crate) endpoint_id: Option<String>,
    pub(crate) job_id: Option<String>,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) created_at: i64,
    pub(crate) status: String,
    pub(crate) attempts: i64,
    pub(crate) last_attempt_at: Option<i64>,
    pub(crate) last_result: Option<String>,
    pub(crate) last_status: Option<i64>,
    pub(crate) last_duration_ms: Option<i64>,
    pub(crate) due_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
}

impl DeliveryColumns {
    pub(crate) fn into_delivery(self) -> Result<Delivery, Impossible> {
        let last_attempt = match (&self.last_result, self.last_attempt_at, self.last_duration_ms) {
            (Some(name), Some(at), Some(millis)) => {
                let status = self.last_status.map(|status| u16::try_from(status).map_err(|_| "last_status"));
                Some(Attempt {
                    at: Timestamp::from_micros(at),
                    result: AttemptResult::from_stored(name, status.transpose()?).ok_or("last_result")?,
                    duration: Duration::from_millis(u64::try_from(millis).map_err(|_| "last_duration_ms")?),
                })
            }
            _ => None,
        };
        Ok(Delivery {
            id: DeliveryId::from_stored(self.delivery_id),
            account_id: AccountId::from_stored(self.account_id),
            endpoint_id: self.endpoint_id.map(EndpointId::from_stored),
            job_id: self.job_id.map(JobId::from_stored),
            event_id: self.event_id,
            event_type: self.event_type,
            created_at: Timestamp::from_micros(self.created_at),
            status: DeliveryStatus::parse(&self.status).map_err(|_| "status")?,
            attempts: u32::try_from(self.attempts).map_err(|_| "attempts")?,
            last_attempt,
            next_attempt_at: self.due_at.map(Timestamp::from_micros),
            ended_at: self.ended_at.map(Timestamp::from_micros),
        })
    }
}

/// An attempt in columns: when, its result, the status of the response, milliseconds.
pub(crate) fn attempt_columns(attempt: &Attempt) -> (i64, &'static str, Option<i64>, i64) {
    let (name, status) = attempt.result.to_stored();
    let millis = i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX);
    (attempt.at.as_micros(), name, status.map(i64::from), millis)
}
