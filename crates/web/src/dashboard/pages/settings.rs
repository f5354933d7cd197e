//! The settings of an account: its limits, its people and their sessions.

use std::time::Duration;

use app::LinkOptions;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::account::Label;
use domain::audit::Action;
use domain::id::SessionId;
use domain::limits::Limit;
use domain::scope::Scope;
use domain::session::{Role, Session, SessionStatus, SignInMethod};

use super::super::browser_names::browser_name;
use super::super::cookies::{self, Keep};
use super::super::errors::PageError;
use super::super::messages as m;
use super::super::respond::{Notice, number, page, redirect, redirect_with, rejected, when};
use super::super::views::parts::{Choice, Errors};
use super::super::views::settings::{
    InvitationCreatedPage, InvitationRow, InviteForm, LimitRow, SessionRow, SettingsPage, roles,
};
use super::super::views::shell::Section;
use super::super::visit::{Submission, Visit, role_text};
use super::keys::form_id;
use crate::Shared;

const SETTINGS: &str = "/dashboard/settings";
/// How long an invitation can be used.
const INVITATION: Duration = Duration::from_hours(72);

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route(SETTINGS, get(show))
        .route("/dashboard/settings/invitations", post(invite))
        .route("/dashboard/settings/invitations/{id}/revoke", post(revoke_invitation))
        .route("/dashboard/settings/sessions/{id}/revoke", post(revoke_session))
}

async fn show(State(shared): State<Shared>, visit: Visit) -> Result<Response, PageError> {
    let request_id = shared.app.random_cookie();
    let form =
        InviteForm { request_id, roles: offered(&visit, Role::Member.as_str()), ..InviteForm::default() };
    Ok(page(&view(&shared, &visit, form).await?))
}

async fn view(shared: &Shared, visit: &Visit, form: InviteForm) -> Result<SettingsPage, PageError> {
    let caller = &visit.person.caller;
    let account = shared.app.account_of(caller).await?;
    let found = shared.app.list_sessions(caller).await?;
    let can_manage = visit.may(Scope::KeysManage);
    let is_own = |session: &Session| session.id == visit.person.session.id;
    // Others are shown to those who manage people.
    let shown = found.iter().filter(|(session, _)| can_manage || is_own(session));
    let (mut invitations, mut sessions) = (Vec::new(), Vec::new());
    for (session, status) in shown {
        match status {
            SessionStatus::Invited => invitations.push(invitation_row(session)),
            _ => sessions.push(session_row(session, is_own(session))),
        }
    }
    let mut limits = Vec::new();
    for (limit, value, used) in shared.app.limits_in_use(caller).await? {
        limits.push(limit_row(limit, value, used));
    }
    Ok(SettingsPage {
        shell: visit.shell(Section::Settings),
        account_id: account.id.to_string(),
        created: when(account.created_at),
        limits,
        invite: can_manage.then_some(form),
        confirm_href: (!visit.person.is_recent).then(|| format!("/dashboard/confirm?next={SETTINGS}")),
        invitations,
        sessions,
    })
}

async fn invite(State(shared): State<Shared>, sent: Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    visit.require_to_change(&shared, Scope::KeysManage, (Action::CreateSignInLink, None)).await?;
    visit.require_recent(SETTINGS)?;
    let mut errors = Errors::default();
    let name = Label::parse(form.raw("name"));
    if let Err(error) = &name {
        errors.add("name", m::broken_rule(m::SUBJECT_NAME, &error.to_string()));
    }
    let role = Role::parse(form.text("role"));
    if role.is_err() {
        errors.add("role", m::ERROR_ROLE);
    }
    let (Ok(person), Ok(role)) = (name, role) else {
        let form = InviteForm {
            request_id: shared.app.random_cookie(),
            name: form.text("name").to_owned(),
            roles: offered(visit, form.text("role")),
            errors,
        };
        return Ok(rejected(&view(&shared, visit, form).await?));
    };
    let options = LinkOptions { person, role, lasts: INVITATION };
    let link = shared.app.create_sign_in_link_once(&visit.person.caller, options, form_id(form)?).await?;
    let Some(link) = link else { return Ok(redirect_with(SETTINGS, Notice::InvitationFormSentBefore)) };
    let path = sign_in_path(link.token.expose());
    Ok(page(&InvitationCreatedPage {
        shell: visit.shell(Section::Settings),
        name: link.session.person.to_string(),
        role: role_text(link.session.role).to_owned(),
        link: shared.settings.public_url.as_ref().map_or_else(|| path.clone(), |url| url.join(&path)),
        expires: when(link.session.expires_at),
    }))
}

/// The path of a sign-in link.
pub fn sign_in_path(token: &str) -> String {
    format!("/dashboard/sign-in/link/{token}")
}

async fn revoke_invitation(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    revoke(&shared, &sent.visit, &id).await?;
    Ok(redirect_with(SETTINGS, Notice::InvitationRevoked))
}

async fn revoke_session(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    revoke(&shared, &sent.visit, &id).await?;
    if sent.visit.person.session.id.as_str() == id {
        let mut response = redirect("/dashboard/sign-in?notice=signed-out");
        cookies::set(response.headers_mut(), cookies::SESSION, "", Keep::Not);
        return Ok(response);
    }
    Ok(redirect_with(SETTINGS, Notice::SessionEnded))
}

/// Ends a session: the person's own, or another one if they manage people.
async fn revoke(shared: &Shared, visit: &Visit, id: &str) -> Result<(), PageError> {
    let id = SessionId::parse(id).ok_or(PageError::NotFound)?;
    if id != visit.person.session.id {
        let change = (Action::RevokeSession, Some(id.to_string()));
        visit.require_to_change(shared, Scope::KeysManage, change).await?;
    }
    Ok(shared.app.revoke_session(&visit.person.caller, &id).await?)
}

/// The roles that the person may give: those that allow no more than their own session.
fn offered(visit: &Visit, chosen: &str) -> Vec<Choice> {
    let own = visit.person.caller.scopes;
    let may_give = |choice: &Choice| {
        Role::parse(&choice.value).is_ok_and(|role| role.scopes().first_beyond(own).is_none())
    };
    roles(chosen).into_iter().filter(may_give).collect()
}

fn invitation_row(session: &Session) -> InvitationRow {
    InvitationRow {
        name: session.person.to_string(),
        role: role_text(session.role).to_owned(),
        expires: when(session.expires_at),
        revoke_href: Some(format!("{SETTINGS}/invitations/{}/revoke", session.id)),
    }
}

fn session_row(session: &Session, is_this_one: bool) -> SessionRow {
    SessionRow {
        person: session.person.to_string(),
        role: role_text(session.role).to_owned(),
        method: match &session.method {
            SignInMethod::ApiKey(id) => m::method_key(id.as_str()),
            SignInMethod::Link => m::METHOD_LINK.to_owned(),
            SignInMethod::Oidc => m::METHOD_PROVIDER.to_owned(),
        },
        address: session.remote.clone().unwrap_or_default(),
        browser: session.user_agent.as_deref().map(browser_name).unwrap_or_default(),
        since: when(session.created_at),
        last_seen: when(session.last_seen_at),
        is_this_one,
        revoke_href: Some(format!("{SETTINGS}/sessions/{}/revoke", session.id)),
    }
}

/// A limit, and how much of it is used if that is known. Zero: no limit.
fn limit_row(limit: Limit, value: u64, used: Option<u64>) -> LimitRow {
    let text = match (value, used) {
        (0, None) => m::LIMIT_NONE.to_owned(),
        (0, Some(used)) => number(used),
        (value, None) => number(value),
        (value, Some(used)) => m::limit_used(&number(used), &number(value)),
    };
    let percent = used.filter(|_| value > 0).map(|used| (used.min(value) * 100).div_ceil(value));
    LimitRow {
        label: m::limit(limit).to_owned(),
        text,
        percent_used: percent.map(|percent| u8::try_from(percent).unwrap_or(100)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_shows_what_is_used_of_it() {
        let shown = |value, used| {
            let row = limit_row(Limit::Connections, value, used);
            (row.text, row.percent_used)
        };
        assert_eq!(shown(1_000, Some(12)), ("12 of 1,000".to_owned(), Some(2)));
        assert_eq!(shown(10, Some(0)), ("0 of 10".to_owned(), Some(0)));
        assert_eq!(shown(10, Some(11)), ("11 of 10".to_owned(), Some(100)));
        assert_eq!(shown(600, None), ("600".to_owned(), None));
        assert_eq!(shown(0, Some(7)), ("7".to_owned(), None));
        assert_eq!(shown(0, None), (m::LIMIT_NONE.to_owned(), None));
    }
}
