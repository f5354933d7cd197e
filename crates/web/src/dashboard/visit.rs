//! Who visits a page: a person with a session, or a guest. A form is accepted only with the token of its browser and from this
//! origin.

use std::sync::{Arc, OnceLock};

use app::{Browser, SignedIn, WriteInProgress};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{HOST, ORIGIN, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use domain::audit::Action;
use domain::scope::Scope;
use domain::session::{Role, SessionToken};

use super::cookies::{self, Keep};
use super::errors::{HadSession, PageError};
use super::form::{CSRF, Form};
use super::respond::{Notice, local_path};
use super::views::shell::{Bare, Extent, Section, Shell};
use super::{assets, messages as m};
use crate::Shared;
use crate::auth::CallerSlot;
use crate::client_address::ClientIp;
use crate::error::Problem;

/// The length of the cookie that a guest's forms belong to.
const GUEST_COOKIE_LEN: usize = 64;

/// The frame of the page that is being made, so that errors are shown in it.
#[derive(Clone, Default)]
pub(super) struct ShellSlot(pub(super) Arc<OnceLock<Shell>>);

/// A person with a session, who looks at a page.
pub(super) struct Visit {
    pub(super) person: SignedIn,
    /// Streams look it up again while they are open.
    pub(super) token: SessionToken,
    shell: Shell,
}

/// A person with a session, who has sent a form. The token of the form was checked.
pub(super) struct Submission {
    pub(super) visit: Visit,
    pub(super) form: Form,
    pub(super) browser: Browser,
    /// It ends with the request.
    _write: WriteInProgress,
}

/// A visitor whose session does not matter.
pub(super) struct Guest {
    pub(super) browser: Browser,
    pub(super) bare: Bare,
    /// The path of the request.
    pub(super) path: String,
    cookie: String,
    is_new: bool,
}

/// A guest who has sent a form. The token of the form was checked.
pub(super) struct GuestForm {
    pub(super) guest: Guest,
    pub(super) form: Form,
}

/// Whether only a part of the page is replaced.
pub(super) fn is_fragment(headers: &HeaderMap) -> Extent {
    let is = |name: &str| headers.get(name).is_some_and(|value| value == "true");
    // After a history miss, htmx needs the whole page.
    let is_fragment = is("hx-request") && !is("hx-history-restore-request");
    if is_fragment { Extent::Fragment } else { Extent::Page }
}

impl Visit {
    /// The frame of a page in a section.
    pub(super) fn shell(&self, section: Section) -> Shell {
        Shell { current: Some(section), ..self.shell.clone() }
    }

    /// Whether the person may do this.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.person.caller.scopes.has(scope)
    }

    /// Refuses a page that the person may not see.
    pub(super) fn require(&self, scope: Scope) -> Result<(), PageError> {
        if self.may(scope) { Ok(()) } else { Err(PageError::Forbidden) }
    }

    /// Refuses a change that the person may not make, and audits the refusal.
    pub(super) async fn require_to_change(
        &self,
        shared: &Shared,
        scope: Scope,
        change: (Action, Option<String>),
    ) -> Result<(), PageError> {
        if self.may(scope) {
            return Ok(());
        }
        Err(shared.app.forbid(&self.person.caller, scope, Some(change)).await.into())
    }

    /// Requires that the person proved recently who they are. Otherwise they do so first, and then come to the page `next`.
    pub(super) fn require_recent(&self, next: &str) -> Result<(), PageError> {
        if self.person.is_recent { Ok(()) } else { Err(PageError::NotRecent { next: next.to_owned() }) }
    }
}

impl Guest {
    /// Adds the cookie that the forms of a page belong to.
    pub(super) fn remember(&self, mut response: Response) -> Response {
        if self.is_new {
            cookies::set(response.headers_mut(), cookies::FORM, &self.cookie, Keep::Session);
        }
        response
    }
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, PageError> {
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
        let next = || Some(&path).filter(|_| parts.method == Method::GET);
        let not_signed_in = |before| PageError::NotSignedIn {
            next: next().and_then(|path| local_path(path)).map(str::to_owned),
            before,
        };
        let cookie = cookies::find(&parts.headers, cookies::SESSION);
        let cookie = cookie.ok_or_else(|| not_signed_in(HadSession::No))?;
        let token = SessionToken::parse(cookie).ok_or_else(|| not_signed_in(HadSession::No))?;
        let remote = parts.extensions.get::<ClientIp>().and_then(|client| client.0);
        let person = match shared.app.authenticate_session(&token, remote).await {
            Ok(person) => person,
            Err(app::SessionError::NotSignedIn) => return Err(not_signed_in(HadSession::Yes)),
            Err(error) => return Err(error.into()),
        };
        let caller = Arc::new(person.caller.clone());
        if let Some(slot) = parts.extensions.get::<CallerSlot>() {
            let _ = slot.0.caller.set(caller);
        }
        let notice = cookies::find(&parts.headers, cookies::NOTICE);
        let shell = Shell {
            assets: assets::paths(),
            csrf: shared.app.form_token(&form_owner(&person)),
            account: person.account_name.to_string(),
            person: person.session.person.to_string(),
            role: role_text(person.session.role).to_owned(),
            sections: sections(&person),
            current: None,
            flash: notice.and_then(Notice::flash),
            extent: is_fragment(&parts.headers),
        };
        if let Some(slot) = parts.extensions.get::<ShellSlot>() {
            let _ = slot.0.set(shell.clone());
        }
        let report = person.rates.take(shared.app.is_shared());
        if let Some(seconds) = report.retry_after_seconds {
            return Err(Problem::rate_limited(seconds).into());
        }
        Ok(Self { person, token, shell })
    }
}

impl FromRequest<Shared> for Submission {
    type Rejection = PageError;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        // Before the session is looked up: a form of another site shows nothing of it.
        check_origin(&parts.headers, shared)?;
        let visit = Visit::from_request_parts(&mut parts, shared).await?;
        let write = shared.app.begin_write(&visit.person.caller)?;
        let browser = browser(&parts);
        let form = Form::read(Request::from_parts(parts, body)).await?;
        if !shared.app.verify_form_token(&form_owner(&visit.person), form.raw(CSRF)) {
            return Err(PageError::StaleForm);
        }
        Ok(Self { visit, form, browser, _write: write })
    }
}

impl FromRequestParts<Shared> for Guest {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, PageError> {
        let known =
            cookies::find(&parts.headers, cookies::FORM).filter(|cookie| cookie.len() == GUEST_COOKIE_LEN);
        let cookie = known.map_or_else(|| shared.app.random_cookie(), str::to_owned);
        let csrf = shared.app.form_token(&cookie);
        Ok(Self {
            browser: browser(parts),
            bare: Bare { assets: assets::paths(), csrf, extent: is_fragment(&parts.headers) },
            path: parts.uri.path().to_owned(),
            is_new: known.is_none(),
            cookie,
        })
    }
}

impl FromRequest<Shared> for GuestForm {
    type Rejection = PageError;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        check_origin(&parts.headers, shared)?;
        let guest = Guest::from_request_parts(&mut parts, shared).await?;
        let form = Form::read(Request::from_parts(parts, body)).await?;
        if guest.is_new || !shared.app.verify_form_token(&guest.cookie, form.raw(CSRF)) {
            return Err(PageError::StaleForm);
        }
        Ok(Self { guest, form })
    }
}

/// Whom the forms of a session belong to. Its identifier, because its token changes when the person confirms who they are, and
/// the forms in other tabs are still theirs. A guest's cookie is longer, so that none is the same.
fn form_owner(person: &SignedIn) -> String {
    format!("session {}", person.session.id)
}

/// The person with the session of a request, if there is one that is accepted.
pub(super) async fn find_person(
    headers: &HeaderMap,
    remote: Option<std::net::IpAddr>,
    shared: &Shared,
) -> Result<Option<SignedIn>, PageError> {
    let token = cookies::find(headers, cookies::SESSION).and_then(SessionToken::parse);
    let Some(token) = token else { return Ok(None) };
    match shared.app.authenticate_session(&token, remote).await {
        Ok(person) => Ok(Some(person)),
        Err(app::SessionError::NotSignedIn) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn browser(parts: &Parts) -> Browser {
    let user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    Browser {
        remote: parts.extensions.get::<ClientIp>().and_then(|client| client.0),
        user_agent: user_agent.map(str::to_owned),
    }
}

/// Refuses a form that the browser says comes from elsewhere.
fn check_origin(headers: &HeaderMap, shared: &Shared) -> Result<(), PageError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let public = shared.settings.public_url.as_ref().map(|url| url.join(""));
    let host = text(HOST.as_str()).unwrap_or_default();
    if is_own(text("sec-fetch-site"), text(ORIGIN.as_str()), host, public.as_deref()) {
        Ok(())
    } else {
        Err(PageError::StaleForm)
    }
}

/// Whether a form comes from a page of this service, by what the browser says about it. Without a word of the browser, the
/// token decides alone.
fn is_own(site: Option<&str>, origin: Option<&str>, host: &str, public: Option<&str>) -> bool {
    let is_own_site = site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let is_own_origin = origin.is_none_or(|origin| {
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        public == Some(origin) || authority == Some(host)
    });
    is_own_site && is_own_origin
}

/// The sections that a person may see.
fn sections(person: &SignedIn) -> Vec<Section> {
    let has = |scope| person.caller.scopes.has(scope);
    let may_see = |section: &Section| match section {
        Section::Connections => has(Scope::ConnectionsRead),
        Section::Uploads => has(Scope::UploadsRead),
        Section::Keys => has(Scope::KeysManage),
        Section::Webhooks => has(Scope::WebhooksManage),
        Section::Audit => has(Scope::AuditRead),
        Section::Settings => true,
    };
    Section::ALL.into_iter().filter(may_see).collect()
}

/// A role as pages show it.
pub(super) const fn role_text(role: Option<Role>) -> &'static str {
    match role {
        Some(Role::Owner) => m::ROLE_OWNER,
        Some(Role::Member) => m::ROLE_MEMBER,
        Some(Role::ReadOnly) => m::ROLE_READ_ONLY,
        None => m::ROLE_API_KEY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_origin_is_refused() {
        let own = |site, origin| is_own(site, origin, "a.example:8080", Some("https://public.example"));
        for (site, origin) in [
            (None, None),
            (Some("same-origin"), Some("http://a.example:8080")),
            (Some("none"), None),
            (Some("same-origin"), Some("https://public.example")),
            (None, Some("https://a.example:8080")),
        ] {
            assert!(own(site, origin), "{site:?} {origin:?}");
        }
        for (site, origin) in [
            (Some("cross-site"), None),
            (Some("same-site"), None),
            (Some("same-origin"), Some("https://evil.example")),
            (None, Some("null")),
            (None, Some("https://a.example")),
            (None, Some("https://public.example.evil.example")),
            (None, Some("a.example:8080")),
            (None, Some("?")),
        ] {
            assert!(!own(site, origin), "{site:?} {origin:?}");
        }
    }
}
