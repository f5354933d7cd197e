//! The page of a webhook endpoint, with its deliveries.

use askama::Template;

use super::parts::{Badge, Choice, Pager, When};
use super::shell::Shell;
use super::webhooks::EndpointRow;
use crate::dashboard::messages as m;

/// A message to the endpoint.
#[derive(Clone)]
pub(crate) struct DeliveryRow {
    /// The type of the event.
    pub(crate) event: String,
    pub(crate) status: Badge,
    /// For example "3".
    pub(crate) attempts: String,
    /// The last result in words, for example "HTTP 500 after 120 ms"; empty: none yet.
    pub(crate) result: String,
    pub(crate) created: When,
    pub(crate) next_attempt: Option<When>,
    /// The path to which its form for sending it again posts; `None`: it cannot be sent again.
    pub(crate) redeliver_href: Option<String>,
    /// The path of the upload's page.
    pub(crate) job_href: Option<String>,
}

/// `GET /dashboard/webhooks/{id}?status=&page=`. Forms post `csrf` to `…/test`, `…/enable`, `…/disable`, and to the path of
/// each delivery.
#[derive(Template)]
#[template(path = "dashboard/webhook.html")]
pub(crate) struct EndpointPage {
    pub(crate) shell: Shell,
    pub(crate) endpoint: EndpointRow,
    pub(crate) id: String,
    pub(crate) is_enabled: bool,
    /// The first one is "any", with an empty value.
    pub(crate) statuses: Vec<Choice>,
    pub(crate) is_filtered: bool,
    pub(crate) deliveries: Vec<DeliveryRow>,
    /// For example "120 deliveries"; empty: not counted.
    pub(crate) count: String,
    pub(crate) pager: Pager,
    pub(crate) can_write: bool,
}
