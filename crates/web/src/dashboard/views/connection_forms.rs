//! Forms about a connection: creating it from credentials, changing it, replacing its credentials, deleting it.

use askama::Template;

use super::parts::Errors;
use super::shell::Shell;
use crate::dashboard::messages as m;

/// `GET` and `POST /dashboard/connections/new`. Posts `csrf`, `requestId`, `name`, `description`, `enabled` (`true` or
/// absent), `clientIdentifier`, `clientSecret`, `accessToken`.
#[derive(Template)]
#[template(path = "dashboard/connection_new.html")]
pub(crate) struct NewConnectionPage {
    pub(crate) shell: Shell,
    /// Identifies this form, so that sending it twice creates one connection.
    pub(crate) request_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) is_enabled: bool,
    pub(crate) client_identifier: String,
    pub(crate) errors: Errors,
    /// Whether the credentials were entered and must be entered again.
    pub(crate) must_reenter: bool,
}

/// What somebody else changed while a person was editing.
#[derive(Clone)]
pub(crate) struct Conflict {
    /// The name of the field, as on the form.
    pub(crate) label: String,
    /// What is stored now.
    pub(crate) theirs: String,
    /// What the person entered.
    pub(crate) yours: String,
}

/// `GET` and `POST /dashboard/connections/{id}/edit`. Posts `csrf`, `version`, `name`, `description`, `enabled`. After a
/// conflict, `version` is the current one: sending again overwrites.
#[derive(Template)]
#[template(path = "dashboard/connection_edit.html")]
pub(crate) struct EditConnectionPage {
    pub(crate) shell: Shell,
    /// The path of the connection's page; forms post to paths below it.
    pub(crate) href: String,
    /// The name that is stored.
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) is_enabled: bool,
    pub(crate) errors: Errors,
    /// Not empty: the connection was changed meanwhile.
    pub(crate) conflicts: Vec<Conflict>,
}

/// `GET` and `POST /dashboard/connections/{id}/credentials`. Posts `csrf`, `version`, `clientIdentifier`, `clientSecret`
/// (empty: kept), `accessToken` (empty: kept).
#[derive(Template)]
#[template(path = "dashboard/connection_credentials.html")]
pub(crate) struct CredentialsPage {
    pub(crate) shell: Shell,
    pub(crate) href: String,
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) client_identifier: String,
    pub(crate) errors: Errors,
    /// Whether secrets were entered and must be entered again.
    pub(crate) must_reenter: bool,
}

/// `GET` and `POST /dashboard/connections/{id}/delete`. Posts `csrf`, `name`.
#[derive(Template)]
#[template(path = "dashboard/connection_delete.html")]
pub(crate) struct DeleteConnectionPage {
    pub(crate) shell: Shell,
    pub(crate) href: String,
    pub(crate) title: String,
    /// What happens to uploads in progress, in a sentence; empty: there are none.
    pub(crate) running: String,
    pub(crate) errors: Errors,
}
