//! What webhooks say, as JSON. The HTTP adapter renders it, because it has the JSON of jobs and connections.

use std::fmt;

use domain::account::Account;
use domain::audit::{Action, Actor, AuditEvent};
use domain::connection::Connection;
use domain::health::{Health, HealthStatus};
use domain::id::EndpointId;
use domain::job::{Job, JobState};
use domain::secret::Secret;
use domain::time::Timestamp;
use domain::webhook::{AnnouncedMessage, Announcement, Audience, DisabledReason, EventType, event_id};

use crate::context::Context;

/// Renders the bodies of webhooks.
#[derive(Clone, Copy)]
pub struct Presenter {
    /// The body of a job's own webhook: the job, and the data that the client asked to have returned.
    pub job_webhook: fn(&Job, Option<&Secret>) -> Vec<u8>,
    /// The body of an event.
    pub event: fn(&PresentedEvent<'_>) -> String,
}

impl fmt::Debug for Presenter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presenter")
    }
}

/// An event as a webhook reports it.
#[derive(Debug)]
pub struct PresentedEvent<'a> {
    /// Its type.
    pub event_type: EventType,
    /// When it happened.
    pub at: Timestamp,
    /// What it is about.
    pub data: EventData<'a>,
    /// For the operator: the account in which it happened.
    pub account: Option<&'a Account>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy)]
pub enum EventData<'a> {
    /// An upload that has ended.
    Job(&'a Job),
    /// A connection: as it is now, or as it was when it was deleted.
    Connection(&'a Connection),
    /// A connection whose health has changed.
    Health {
        /// The connection.
        connection: &'a Connection,
        /// Its health now.
        health: &'a Health,
        /// Its status before.
        before: HealthStatus,
    },
    /// An endpoint that the service has disabled.
    DisabledEndpoint {
        /// The endpoint.
        id: &'a EndpointId,
        /// Why.
        reason: DisabledReason,
    },
    /// A test of an endpoint.
    Test {
        /// The endpoint.
        id: &'a EndpointId,
    },
}

impl Context {
    /// Has an event announced to the endpoints that receive its type, in the transaction that writes it.
    pub(crate) fn announce(
        &self,
        event: AuditEvent,
        event_type: EventType,
        data: EventData<'_>,
    ) -> AuditEvent {
        let message = self.message(&event, event_type, data, None);
        let job_id = match data {
            EventData::Job(job) => Some(job.id.clone()),
            _ => None,
        };
        let audience = match data {
            EventData::DisabledEndpoint { id, .. } => Audience::SubscribersExcept(id.clone()),
            EventData::Test { id } => Audience::Only(id.clone()),
            _ => Audience::Subscribers,
        };
        let announcement = Announcement { event_type, job_id, audience, message, operator_message: None };
        AuditEvent { announcement: Some(announcement), ..event }
    }

    /// Wakes the worker after the write of an event that was announced; returns what was written.
    pub(crate) fn announced<T>(&self, written: T) -> T {
        self.announcer.wakeup.notify_one();
        written
    }

    /// The same as [`Self::announce`], for the operator's endpoint too, if there is one. It learns the account.
    pub(crate) fn announce_to_operator(
        &self,
        event: AuditEvent,
        (event_type, data): (EventType, EventData<'_>),
        account: &Account,
    ) -> AuditEvent {
        let operator = self.announcer.operator.as_ref();
        let operator_message = operator.map(|_| self.message(&event, event_type, data, Some(account)));
        let mut event = self.announce(event, event_type, data);
        if let Some(announcement) = &mut event.announcement {
            announcement.operator_message = operator_message;
        }
        event
    }

    fn message(
        &self,
        event: &AuditEvent,
        event_type: EventType,
        data: EventData<'_>,
        account: Option<&Account>,
    ) -> AnnouncedMessage {
        let body =
            (self.announcer.presenter.event)(&PresentedEvent { event_type, at: event.at, data, account });
        let id = event_id(event.id.as_str());
        let mac =
            self.service_keys().mac_webhook_message(&event.account_id, [&id, event_type.as_str(), &body]);
        AnnouncedMessage { body, mac }
    }

    /// The event of a job whose file Vimeo can play now, announced to the endpoints.
    pub(crate) fn playable_event(&self, job: &Job) -> AuditEvent {
        let subject = Some(job.id.to_string());
        let event = self.audit_event(&job.account_id, Actor::Service, Action::MarkUploadPlayable, subject);
        self.announce(event, EventType::UploadPlayable, EventData::Job(job))
    }

    /// Has the end of a job announced.
    pub(crate) fn announce_end(&self, event: AuditEvent, job: &Job) -> AuditEvent {
        match end_of(&job.state) {
            Some(event_type) => self.announce(event, event_type, EventData::Job(job)),
            None => event,
        }
    }
}

/// The type of the event that ended a job in this state.
pub(crate) fn end_of(state: &JobState) -> Option<EventType> {
    match state {
        JobState::Completed(_) => Some(EventType::UploadCompleted),
        JobState::Failed(_) => Some(EventType::UploadFailed),
        JobState::Cancelled(_) => Some(EventType::UploadCancelled),
        _ => None,
    }
}
