//! The list of webhook endpoints, and the forms about them.

use askama::Template;
use domain::webhook::EventType;

use super::parts::{Badge, Choice, Errors, Pager, When};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// A webhook endpoint in the list.
#[derive(Clone)]
pub(crate) struct EndpointRow {
    /// The path of its page.
    pub(crate) href: String,
    /// Its URL, without a query.
    pub(crate) url: String,
    /// Empty: none.
    pub(crate) description: String,
    /// Enabled, disabled, or disabled by the service.
    pub(crate) status: Badge,
    /// Why the service disabled it; empty: it did not.
    pub(crate) reason: String,
    /// The events that it receives; empty: all.
    pub(crate) events: Vec<String>,
    pub(crate) created: When,
}

/// `GET /dashboard/webhooks`
#[derive(Template)]
#[template(path = "dashboard/webhooks.html")]
pub(crate) struct WebhooksPage {
    pub(crate) shell: Shell,
    pub(crate) rows: Vec<EndpointRow>,
    pub(crate) pager: Pager,
    /// For example "3 endpoints".
    pub(crate) count: String,
    pub(crate) can_write: bool,
}

/// `GET` and `POST /dashboard/webhooks/new` and `…/{id}/edit`. Posts `csrf`, `requestId`, `url`, `description`, `events`
/// (repeated; none: all), `enabled` (`true` or absent).
#[derive(Template)]
#[template(path = "dashboard/webhook_form.html")]
pub(crate) struct EndpointFormPage {
    pub(crate) shell: Shell,
    /// Where the form posts to.
    pub(crate) action: String,
    /// Where "Cancel" leads.
    pub(crate) cancel_href: String,
    /// Whether it creates an endpoint.
    pub(crate) is_new: bool,
    /// Identifies the form of a new endpoint, so that sending it twice creates one.
    pub(crate) request_id: String,
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) events: Vec<Choice>,
    pub(crate) is_enabled: bool,
    pub(crate) errors: Errors,
}

/// What a new endpoint and `POST …/{id}/rotate-secret` answer: the secret, this once.
#[derive(Template)]
#[template(path = "dashboard/webhook_secret.html")]
pub(crate) struct EndpointSecretPage {
    pub(crate) shell: Shell,
    /// The path of the endpoint's page.
    pub(crate) href: String,
    pub(crate) url: String,
    pub(crate) secret: String,
    /// For a rotation: until when the old secret also signs.
    pub(crate) old_until: Option<When>,
}

/// What a confirmation is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndpointQuestion {
    Delete,
    RotateSecret,
}

/// `GET /dashboard/webhooks/{id}/delete` and `…/rotate-secret`. Posts `csrf` to the same path.
#[derive(Template)]
#[template(path = "dashboard/webhook_confirm.html")]
pub(crate) struct EndpointConfirmPage {
    pub(crate) shell: Shell,
    /// The path of the endpoint's page.
    pub(crate) href: String,
    pub(crate) url: String,
    pub(crate) question: EndpointQuestion,
    pub(crate) errors: Errors,
}

/// The values of `events`, with when each is sent.
pub(crate) fn events(chosen: &[&str]) -> Vec<Choice> {
    let choice = |kind: EventType| {
        let name = kind.as_str();
        let hint = m::event_hint(kind).to_owned();
        Choice { is_chosen: chosen.contains(&name), hint, ..Choice::new(name, name) }
    };
    EventType::ALL.into_iter().map(choice).collect()
}
