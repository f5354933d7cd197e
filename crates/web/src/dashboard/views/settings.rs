//! The settings of an account: its limits, its people and their sessions.

use askama::Template;

use super::parts::{Choice, Errors, When};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// A limit of the account.
#[derive(Clone)]
pub(crate) struct LimitRow {
    pub(crate) label: String,
    /// For example "12 of 1,000".
    pub(crate) text: String,
    /// `None`: no bar is shown.
    pub(crate) percent_used: Option<u8>,
}

/// An invitation that has not been used.
#[derive(Clone)]
pub(crate) struct InvitationRow {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) expires: When,
    /// The path to which the form for revoking it posts; `None`: this person may not.
    pub(crate) revoke_href: Option<String>,
}

/// A session of somebody who is signed in.
#[derive(Clone)]
pub(crate) struct SessionRow {
    pub(crate) person: String,
    pub(crate) role: String,
    /// How they signed in, in words: "API key …1234", "link", the name of the provider.
    pub(crate) method: String,
    /// Empty: not known.
    pub(crate) address: String,
    /// In words, for example "Firefox on Linux"; empty: not known.
    pub(crate) browser: String,
    pub(crate) since: When,
    pub(crate) last_seen: When,
    pub(crate) is_this_one: bool,
    /// The path to which the form for ending it posts; `None`: this person may not.
    pub(crate) revoke_href: Option<String>,
}

/// The form that invites a colleague. Posts `csrf`, `requestId`, `name`, `role` (`owner`, `member`, `read-only`) to
/// `/dashboard/settings/invitations`.
#[derive(Clone, Default)]
pub(crate) struct InviteForm {
    /// Identifies this form, so that sending it twice creates one link.
    pub(crate) request_id: String,
    pub(crate) name: String,
    /// Build it with [`roles`].
    pub(crate) roles: Vec<Choice>,
    pub(crate) errors: Errors,
}

/// The values of `role`.
pub(crate) fn roles(chosen: &str) -> Vec<Choice> {
    let all = [
        ("owner", m::ROLE_OWNER, m::ROLE_OWNER_HINT),
        ("member", m::ROLE_MEMBER, m::ROLE_MEMBER_HINT),
        ("read-only", m::ROLE_READ_ONLY, m::ROLE_READ_ONLY_HINT),
    ];
    let choices = all.map(|(value, label, hint)| Choice {
        hint: hint.to_owned(),
        ..Choice::new(value, label).chosen_if(chosen)
    });
    choices.into()
}

/// `GET /dashboard/settings`
#[derive(Template)]
#[template(path = "dashboard/settings.html")]
pub(crate) struct SettingsPage {
    pub(crate) shell: Shell,
    pub(crate) account_id: String,
    pub(crate) created: When,
    pub(crate) limits: Vec<LimitRow>,
    /// Where the person confirms who they are before inviting someone; `None`: they did recently.
    pub(crate) confirm_href: Option<String>,
    /// `None`: the person may not invite.
    pub(crate) invite: Option<InviteForm>,
    pub(crate) invitations: Vec<InvitationRow>,
    pub(crate) sessions: Vec<SessionRow>,
}

/// What `POST /dashboard/settings/invitations` answers: the link, this once.
#[derive(Template)]
#[template(path = "dashboard/invitation_created.html")]
pub(crate) struct InvitationCreatedPage {
    pub(crate) shell: Shell,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) link: String,
    pub(crate) expires: When,
}
