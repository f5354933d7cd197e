//! Connecting with Vimeo: starting an authorization and watching it.

use askama::Template;

use super::parts::{Choice, Errors, Tone, When};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// `GET` and `POST /dashboard/connect`. Posts `csrf`, `requestId`, `name`, `description`, `clientIdentifier`,
/// `clientSecret`, `scopes` (repeated), `approver`, `returnUrl`. For a renewal, `action` is the connection's `…/renew`, and
/// only `csrf`, `clientSecret` (empty: kept), `scopes` and `approver` are posted.
#[derive(Template)]
#[template(path = "dashboard/connect.html")]
pub(crate) struct ConnectPage {
    pub(crate) shell: Shell,
    pub(crate) action: String,
    /// Identifies this form, so that sending it twice starts one authorization.
    pub(crate) request_id: String,
    /// The name of the connection to renew; `None`: a new one.
    pub(crate) renews: Option<String>,
    /// Where "Cancel" leads.
    pub(crate) cancel_href: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) client_identifier: String,
    pub(crate) return_url: String,
    pub(crate) scopes: Vec<Choice>,
    /// Build it with [`approvers`].
    pub(crate) approvers: Vec<Choice>,
    /// The redirect URI that must be set on the app's page at Vimeo.
    pub(crate) callback_url: String,
    pub(crate) errors: Errors,
    pub(crate) must_reenter: bool,
}

/// The values of `approver`: `me`, `customer` and `device`.
pub(crate) fn approvers(chosen: &str) -> Vec<Choice> {
    let all = [
        ("me", m::APPROVER_ME, m::APPROVER_ME_HINT),
        ("customer", m::APPROVER_CUSTOMER, m::APPROVER_CUSTOMER_HINT),
        ("device", m::APPROVER_DEVICE, m::APPROVER_DEVICE_HINT),
    ];
    let choices = all.map(|(value, label, hint)| Choice {
        hint: hint.to_owned(),
        ..Choice::new(value, label).chosen_if(chosen)
    });
    choices.into()
}

/// The values of `scopes`; the scopes that uploads need are fixed.
pub(crate) fn scopes(chosen: &[&str], required: &[&str]) -> Vec<Choice> {
    let all = [
        ("public", m::SCOPE_PUBLIC),
        ("private", m::SCOPE_PRIVATE),
        ("upload", m::SCOPE_UPLOAD),
        ("edit", m::SCOPE_EDIT),
        ("delete", m::SCOPE_DELETE),
        ("interact", m::SCOPE_INTERACT),
    ];
    let choices = all.map(|(value, hint)| {
        let is_fixed = required.contains(&value);
        let is_chosen = is_fixed || chosen.contains(&value);
        Choice { hint: hint.to_owned(), is_chosen, is_fixed, ..Choice::new(value, value) }
    });
    choices.into()
}

/// How an authorization is going.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthorizationState {
    Waiting,
    Completed,
    Denied,
    Failed,
    Withdrawn,
    Expired,
}

impl AuthorizationState {
    /// Its name.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Waiting => m::AUTHORIZATION_WAITING,
            Self::Completed => m::AUTHORIZATION_COMPLETED,
            Self::Denied => m::AUTHORIZATION_DENIED,
            Self::Failed => m::AUTHORIZATION_FAILED,
            Self::Withdrawn => m::AUTHORIZATION_WITHDRAWN,
            Self::Expired => m::AUTHORIZATION_EXPIRED,
        }
    }

    /// What it means and what to do next.
    pub(crate) const fn help(self) -> &'static str {
        match self {
            Self::Waiting => m::AUTHORIZATION_WAITING_HELP,
            Self::Completed => m::AUTHORIZATION_COMPLETED_HELP,
            Self::Denied => m::AUTHORIZATION_DENIED_HELP,
            Self::Failed => m::AUTHORIZATION_FAILED_HELP,
            Self::Withdrawn => m::AUTHORIZATION_WITHDRAWN_HELP,
            Self::Expired => m::AUTHORIZATION_EXPIRED_HELP,
        }
    }

    /// How good or bad it is.
    pub(crate) const fn tone(self) -> Tone {
        match self {
            Self::Waiting => Tone::Busy,
            Self::Completed => Tone::Good,
            Self::Denied | Self::Failed => Tone::Bad,
            Self::Withdrawn | Self::Expired => Tone::Muted,
        }
    }
}

/// A code to enter at Vimeo.
#[derive(Clone)]
pub(crate) struct DeviceCode {
    pub(crate) code: String,
    /// Vimeo's page for it, `https` only.
    pub(crate) address: String,
}

/// What changes while an authorization is watched.
#[derive(Clone)]
pub(crate) struct AuthorizationView {
    pub(crate) state: AuthorizationState,
    /// Why it failed, in sentences; empty: nothing is shown.
    pub(crate) reason: String,
    /// The connection, once it is completed: its name and the path of its page.
    pub(crate) connection: Option<(String, String)>,
    /// Where the person starts again.
    pub(crate) restart_href: String,
    pub(crate) expires: When,
}

/// An authorization that waits for approval.
#[derive(Clone)]
pub(crate) struct WaitingRow {
    /// The path of its page.
    pub(crate) href: String,
    /// The name of the connection.
    pub(crate) name: String,
    /// Whether it renews a connection that exists.
    pub(crate) is_renewal: bool,
    pub(crate) expires: When,
}

/// The state alone, for the event `update` of `GET /dashboard/connect/{authorizationId}/events`.
#[derive(Template)]
#[template(path = "dashboard/authorization_state.html")]
pub(crate) struct AuthorizationUpdate {
    pub(crate) view: AuthorizationView,
}

/// `GET /dashboard/connect/{authorizationId}`. The button posts `csrf` to its path `withdraw`.
#[derive(Template)]
#[template(path = "dashboard/authorization.html")]
pub(crate) struct AuthorizationPage {
    pub(crate) shell: Shell,
    /// The name of the connection.
    pub(crate) name: String,
    pub(crate) view: AuthorizationView,
    /// The link for the person who approves, while it is waiting; `None` for a device code.
    pub(crate) link: Option<String>,
    pub(crate) device: Option<DeviceCode>,
    /// The path of this page.
    pub(crate) href: String,
    pub(crate) can_write: bool,
}
