//! The endpoints of an account: creating, reading, changing, deleting and testing them.

use std::time::Duration;

use domain::audit::Action;
use domain::id::EndpointId;
use domain::idempotency::Operation;
use domain::page::PageLimit;
use domain::secret::Secret;
use domain::webhook::{Endpoint, EndpointState, EventFilter, EventType};
use seal::webhook::WebhookSecret;
use store::{Changed, Counted, EndpointRow, EndpointUpdate, FailingSince, NewEndpoint};
use thiserror::Error as ThisError;

use super::content::EndpointContent;
use super::presenter::EventData;
use crate::idempotency::{Creation, IdempotencyGuard};
use crate::{App, Caller, Error, IdempotentRequest, Outcome};

/// How long a replaced secret keeps signing beside the new one.
pub const SECRET_OVERLAP: Duration = Duration::from_hours(24);
/// Attempts of a change that meets another write of the endpoint each time.
const CHANGE_ATTEMPTS: u32 = 20;
/// The longest description, in characters.
const DESCRIPTION_MAX_CHARS: usize = 250;

/// What a client says about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointDescription(String);

/// The text is not a valid [`EndpointDescription`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
#[error("must be at most {DESCRIPTION_MAX_CHARS} characters without control characters")]
pub struct EndpointDescriptionError;

impl EndpointDescription {
    /// Parses a text from a client; `None` if it is empty.
    pub fn parse(text: &str) -> Result<Option<Self>, EndpointDescriptionError> {
        if text.chars().count() > DESCRIPTION_MAX_CHARS || text.chars().any(char::is_control) {
            return Err(EndpointDescriptionError);
        }
        Ok((!text.is_empty()).then(|| Self(text.to_owned())))
    }
}

/// An endpoint to create.
#[derive(Debug, Clone)]
pub struct EndpointDraft {
    /// A URL that [`App::check_address`] has accepted.
    pub url: Secret,
    /// The events that it receives.
    pub events: EventFilter,
    /// Its description.
    pub description: Option<EndpointDescription>,
    /// Whether it receives events.
    pub state: EndpointState,
}

/// The fields of an endpoint that change.
#[derive(Debug, Clone, Default)]
pub struct EndpointChange {
    /// A URL that [`App::check_address`] has accepted.
    pub url: Option<Secret>,
    /// The events that it receives.
    pub events: Option<EventFilter>,
    /// Its description; the inner `None` clears it.
    #[expect(clippy::option_option, reason = "whether it changes, and whether there is one then")]
    pub description: Option<Option<EndpointDescription>>,
    /// Whether it receives events.
    pub state: Option<EndpointState>,
}

impl EndpointChange {
    /// One that is enabled, or gets another URL, has not failed yet. Otherwise attempts decide, also those that end meanwhile.
    fn failing_since(&self) -> FailingSince {
        let is_new = self.url.is_some() || self.state == Some(EndpointState::Enabled);
        if is_new { FailingSince::Cleared } else { FailingSince::Kept }
    }
}

/// An endpoint as its account sees it.
#[derive(Debug, Clone)]
pub struct ShownEndpoint {
    /// What is not sealed.
    pub endpoint: Endpoint,
    /// Its URL.
    pub url: Secret,
    /// Its description.
    pub description: Option<String>,
}

/// An endpoint with a new secret, whose text is returned only here.
#[derive(Debug, Clone)]
pub struct CreatedEndpoint {
    /// The endpoint.
    pub shown: ShownEndpoint,
    /// The secret.
    pub secret: Secret,
}

/// A page of endpoints, oldest first.
#[derive(Debug, Clone)]
pub struct EndpointPage {
    /// The endpoints.
    pub items: Vec<ShownEndpoint>,
    /// The key of the next page; `None` on the last page.
    pub next: Option<Vec<u8>>,
}

fn shown(endpoint: Endpoint, content: EndpointContent) -> ShownEndpoint {
    ShownEndpoint { endpoint, url: content.url, description: content.description }
}

impl App {
    /// Creates an endpoint.
    pub async fn create_webhook_endpoint(
        &self,
        caller: &Caller,
        draft: EndpointDraft,
        idempotency: Option<IdempotentRequest<'_, CreatedEndpoint>>,
    ) -> Result<Outcome<CreatedEndpoint>, Error> {
        let request = idempotency.as_ref().map(|request| (&request.key, request.body));
        let creation = Creation { operation: Operation::CreateWebhookEndpoint, connection: None };
        self.idempotent(caller, creation, request, async |guard| {
            let (account, limit) = (&caller.account_id, caller.limits.webhook_endpoints);
            let place = self.usage.reserve(&*self.store, account, Counted::WebhookEndpoints, limit).await?;
            place.settle(self.insert_endpoint(caller, draft, (idempotency.as_ref(), guard)).await)
        })
        .await
    }

    async fn insert_endpoint(
        &self,
        caller: &Caller,
        draft: EndpointDraft,
        (idempotency, guard): (Option<&IdempotentRequest<'_, CreatedEndpoint>>, Option<&IdempotencyGuard>),
    ) -> Result<CreatedEndpoint, Error> {
        let account = &caller.account_id;
        let id = self.next_id();
        let created_at = id.at();
        let endpoint = Endpoint {
            id: id.into_endpoint_id(),
            account_id: account.clone(),
            created_at,
            updated_at: created_at,
            version: 1,
            events: draft.events,
            state: draft.state,
            failing_since: None,
        };
        let content = EndpointContent {
            url: draft.url,
            description: draft.description.map(|description| description.0),
            secret: WebhookSecret::random(&self.randomness),
            previous: None,
        };
        let row = content.seal(endpoint.clone(), &self.account_key(account).await?, &self.randomness)?;
        let secret = content.secret.to_text();
        let created = CreatedEndpoint { shown: shown(endpoint, content), secret };
        let completion = match (idempotency, guard) {
            (Some(IdempotentRequest { key, present, .. }), Some(guard)) => {
                guard.completion(self.seal_answer(account, key, &present(&created)).await?)
            }
            _ => None,
        };
        let subject = Some(row.endpoint.id.to_string());
        let event = self.audit_event(account, caller.actor.clone(), Action::CreateWebhookEndpoint, subject);
        self.store.insert_webhook_endpoint(account, NewEndpoint { row, event, completion }).await?;
        Ok(created)
    }

    /// One of the caller's endpoints.
    pub async fn find_webhook_endpoint(
        &self,
        caller: &Caller,
        id: &EndpointId,
    ) -> Result<ShownEndpoint, Error> {
        let row = self.own_endpoint(caller, id).await?;
        self.show_endpoint(row).await
    }

    /// Whether the endpoint is one of the caller's. [`Error::WebhookEndpointNotFound`].
    pub async fn check_webhook_endpoint(&self, caller: &Caller, id: &EndpointId) -> Result<(), Error> {
        self.own_endpoint(caller, id).await.map(drop)
    }

    async fn own_endpoint(&self, caller: &Caller, id: &EndpointId) -> Result<EndpointRow, Error> {
        let found = self.store.find_webhook_endpoint(&caller.account_id, id).await?;
        found.ok_or(Error::WebhookEndpointNotFound)
    }

    async fn show_endpoint(&self, row: EndpointRow) -> Result<ShownEndpoint, Error> {
        let key = self.account_key(&row.endpoint.account_id).await?;
        let content = EndpointContent::open(&row, &key)?;
        Ok(shown(row.endpoint, content))
    }

    /// The caller's endpoints, oldest first.
    pub async fn list_webhook_endpoints(
        &self,
        caller: &Caller,
        after: Option<&EndpointId>,
        limit: PageLimit,
    ) -> Result<EndpointPage, Error> {
        let account = &caller.account_id;
        // One more than the page, to see whether there is a next one.
        let mut rows = self.store.list_webhook_endpoints(account, after, limit.as_u32() + 1).await?;
        let is_last = rows.len() <= limit.as_u32() as usize;
        rows.truncate(limit.as_u32() as usize);
        let last = rows.last().filter(|_| !is_last);
        let next = last.map(|last| self.service_keys().encode_endpoint_page_key(account, &last.endpoint.id));
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            items.push(self.show_endpoint(row).await?);
        }
        Ok(EndpointPage { items, next })
    }

    /// The place that a page key of endpoints names; `None` if it was not issued to this account.
    pub fn read_endpoint_page_key(&self, caller: &Caller, bytes: &[u8]) -> Option<EndpointId> {
        self.service_keys().decode_endpoint_page_key(&caller.account_id, bytes)
    }

    /// Changes an endpoint.
    pub async fn update_webhook_endpoint(
        &self,
        caller: &Caller,
        id: &EndpointId,
        change: EndpointChange,
    ) -> Result<ShownEndpoint, Error> {
        let action = Action::UpdateWebhookEndpoint;
        let changed = self.change_endpoint(caller, id, action, |endpoint, content| {
            let failing_since = change.failing_since();
            if failing_since == FailingSince::Cleared {
                endpoint.failing_since = None;
            }
            let EndpointChange { url, events, description, state } = change.clone();
            content.url = url.unwrap_or(content.url.clone());
            if let Some(description) = description {
                content.description = description.map(|description| description.0);
            }
            endpoint.events = events.unwrap_or(endpoint.events);
            endpoint.state = state.unwrap_or(endpoint.state);
            failing_since
        });
        let changed = changed.await;
        let changed = self.audited(caller, action, Some(id.to_string()), changed).await?;
        Ok(shown(changed.0, changed.1))
    }

    /// Gives an endpoint a new secret. Its predecessor also signs for a day, and none before it.
    pub async fn rotate_webhook_endpoint_secret(
        &self,
        caller: &Caller,
        id: &EndpointId,
    ) -> Result<CreatedEndpoint, Error> {
        let action = Action::RotateWebhookEndpointSecret;
        let until = self.clock.now().plus(SECRET_OVERLAP);
        let secret = WebhookSecret::random(&self.randomness);
        let rotated = self.change_endpoint(caller, id, action, |_, content| {
            let replaced = std::mem::replace(&mut content.secret, secret.clone());
            content.previous = Some((replaced, until));
            FailingSince::Kept
        });
        let rotated = rotated.await;
        let rotated = self.audited(caller, action, Some(id.to_string()), rotated).await?;
        Ok(CreatedEndpoint { shown: shown(rotated.0, rotated.1), secret: secret.to_text() })
    }

    /// Reads an endpoint, changes it, and writes it if no other write came between.
    async fn change_endpoint(
        &self,
        caller: &Caller,
        id: &EndpointId,
        action: Action,
        change: impl Fn(&mut Endpoint, &mut EndpointContent) -> FailingSince + Sync,
    ) -> Result<(Endpoint, EndpointContent), Error> {
        let account = &caller.account_id;
        let key = self.account_key(account).await?;
        for _ in 0..CHANGE_ATTEMPTS {
            let row = self.own_endpoint(caller, id).await?;
            let now = self.clock.now();
            let mut content = EndpointContent::open(&row, &key)?.without_expired(now);
            let expected_version = row.endpoint.version;
            let mut endpoint = Endpoint { version: expected_version + 1, updated_at: now, ..row.endpoint };
            let failing_since = change(&mut endpoint, &mut content);
            let row = content.seal(endpoint.clone(), &key, &self.randomness)?;
            let event = self.audit_event(account, caller.actor.clone(), action, Some(id.to_string()));
            let update = EndpointUpdate { expected_version, row, failing_since, event };
            if self.store.update_webhook_endpoint(account, update).await? == Changed::Yes {
                return Ok((endpoint, content));
            }
        }
        Err(Error::Overloaded)
    }

    /// Deletes an endpoint. What still waits for it is not sent.
    pub async fn delete_webhook_endpoint(&self, caller: &Caller, id: &EndpointId) -> Result<(), Error> {
        let (account, action) = (&caller.account_id, Action::DeleteWebhookEndpoint);
        let event = self.audit_event(account, caller.actor.clone(), action, Some(id.to_string()));
        let deleted = match self.store.delete_webhook_endpoint(account, id, &event).await {
            Ok(Changed::Yes) => Ok(()),
            Ok(Changed::No) => Err(Error::WebhookEndpointNotFound),
            Err(error) => Err(error.into()),
        };
        self.audited(caller, action, Some(id.to_string()), deleted).await
    }

    /// Sends a test event to an endpoint, whatever it subscribes to.
    pub async fn test_webhook_endpoint(&self, caller: &Caller, id: &EndpointId) -> Result<(), Error> {
        let tested = self.try_test_webhook_endpoint(caller, id).await;
        self.audited(caller, Action::TestWebhookEndpoint, Some(id.to_string()), tested).await
    }

    async fn try_test_webhook_endpoint(&self, caller: &Caller, id: &EndpointId) -> Result<(), Error> {
        let (account, action) = (&caller.account_id, Action::TestWebhookEndpoint);
        let event = self.audit_event(account, caller.actor.clone(), action, Some(id.to_string()));
        let event = self.announce(event, EventType::Test, EventData::Test { id });
        match self.store.insert_webhook_test(account, &event).await? {
            Changed::Yes => {
                self.announcer.wakeup.notify_one();
                Ok(())
            }
            Changed::No => {
                self.own_endpoint(caller, id).await?;
                Err(Error::WebhookEndpointDisabled)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_is_enabled_or_gets_another_url_has_not_failed_yet() {
        let change = EndpointChange::default();
        assert_eq!(change.failing_since(), FailingSince::Kept);
        let disabled = EndpointChange { state: Some(EndpointState::Disabled(None)), ..change.clone() };
        assert_eq!(disabled.failing_since(), FailingSince::Kept);
        let enabled = EndpointChange { state: Some(EndpointState::Enabled), ..change.clone() };
        assert_eq!(enabled.failing_since(), FailingSince::Cleared);
        let moved = EndpointChange { url: Some(Secret::new("https://example.com".to_owned())), ..change };
        assert_eq!(moved.failing_since(), FailingSince::Cleared);
    }
}
