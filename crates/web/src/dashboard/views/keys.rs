//! The pages of API keys.

use askama::Template;

use super::parts::{Badge, Choice, Errors, Pager, When};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// A key, without the key itself.
#[derive(Clone)]
pub(crate) struct KeyRow {
    /// The path of its page.
    pub(crate) href: String,
    pub(crate) name: String,
    pub(crate) last_four: String,
    pub(crate) status: Badge,
    pub(crate) scopes: Vec<String>,
    /// Whether it has all scopes.
    pub(crate) has_all_scopes: bool,
    pub(crate) creator: String,
    pub(crate) created: When,
    /// `None`: it does not expire.
    pub(crate) expires: Option<When>,
    /// To the hour; `None`: never.
    pub(crate) last_used: Option<When>,
    /// Whether it can be renamed, rotated and revoked.
    pub(crate) is_active: bool,
}

/// The form for a new key. Posts `csrf`, `requestId`, `name`, `scopes` (repeated), `expiresInDays` (empty: it does not expire).
#[derive(Clone, Default)]
pub(crate) struct KeyForm {
    /// Identifies this form, so that sending it twice creates one key.
    pub(crate) request_id: String,
    pub(crate) name: String,
    pub(crate) scopes: Vec<Choice>,
    pub(crate) expires_in_days: String,
    pub(crate) errors: Errors,
}

/// The values of `scopes`: those that the person may give, with what each allows.
pub(crate) fn key_scopes(allowed: &[&str], chosen: &[&str]) -> Vec<Choice> {
    let all = [
        ("connections:read", m::KEY_SCOPE_CONNECTIONS_READ),
        ("connections:write", m::KEY_SCOPE_CONNECTIONS_WRITE),
        ("uploads:read", m::KEY_SCOPE_UPLOADS_READ),
        ("uploads:write", m::KEY_SCOPE_UPLOADS_WRITE),
        ("webhooks:manage", m::KEY_SCOPE_WEBHOOKS),
        ("audit:read", m::KEY_SCOPE_AUDIT),
        ("keys:manage", m::KEY_SCOPE_KEYS),
    ];
    let offered = all.into_iter().filter(|(value, _)| allowed.contains(value));
    offered
        .map(|(value, hint)| Choice {
            hint: hint.to_owned(),
            is_chosen: chosen.contains(&value),
            ..Choice::new(value, value)
        })
        .collect()
}

/// `GET` and `POST /dashboard/keys`: the list, and the form of [`KeyForm`].
#[derive(Template)]
#[template(path = "dashboard/keys.html")]
pub(crate) struct KeysPage {
    pub(crate) shell: Shell,
    pub(crate) rows: Vec<KeyRow>,
    pub(crate) pager: Pager,
    /// For example "12 API keys".
    pub(crate) count: String,
    /// Where the person confirms who they are before creating a key; `None`: they did recently.
    pub(crate) confirm_href: Option<String>,
    /// `None`: the person may not create keys.
    pub(crate) form: Option<KeyForm>,
}

/// What `POST /dashboard/keys` and `POST /dashboard/keys/{id}/rotate` answer: the key, this once.
#[derive(Template)]
#[template(path = "dashboard/key_created.html")]
pub(crate) struct KeyCreatedPage {
    pub(crate) shell: Shell,
    pub(crate) name: String,
    pub(crate) key: String,
    /// A curl command with the key that shows whether it works.
    pub(crate) curl: String,
    /// For a rotation: until when the old key remains valid.
    pub(crate) old_until: Option<When>,
}

/// `GET /dashboard/keys/{id}`. Posts `csrf`, `name` to `…/rename`, and `csrf`, `requestId`, `overlapHours`, `expiresInDays` to
/// `…/rotate`.
#[derive(Template)]
#[template(path = "dashboard/key.html")]
pub(crate) struct KeyPage {
    pub(crate) shell: Shell,
    pub(crate) key: KeyRow,
    pub(crate) id: String,
    /// What the form for the name shows.
    pub(crate) name: String,
    /// Identifies the form, so that sending it twice rotates the key once.
    pub(crate) request_id: String,
    pub(crate) overlap_hours: String,
    pub(crate) expires_in_days: String,
    pub(crate) errors: Errors,
    pub(crate) can_manage: bool,
}

/// `GET` and `POST /dashboard/keys/{id}/revoke`. Posts `csrf`.
#[derive(Template)]
#[template(path = "dashboard/key_revoke.html")]
pub(crate) struct RevokeKeyPage {
    pub(crate) shell: Shell,
    pub(crate) href: String,
    pub(crate) name: String,
    pub(crate) last_four: String,
    pub(crate) last_used: Option<When>,
    pub(crate) errors: Errors,
}
