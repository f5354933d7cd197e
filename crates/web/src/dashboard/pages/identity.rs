//! Signing in, and confirming an identity, at the identity provider.

use app::{
    AttemptPurpose, FailedAttempt, IdentityError, ProviderAnswer, ProviderError, Refusal, ReturnedBrowser,
    SignedIn,
};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;

use super::super::cookies::{self, Keep};
use super::super::errors::PageError;
use super::super::respond::{html, percent_encode, redirect};
use super::super::views::sign_in::{IdentityProblem, IdentityProblemPage};
use super::super::visit::{Guest, Visit, find_person};
use super::sign_in::{START, end, parameter, target, with_session};
use crate::Shared;

/// How long a browser keeps the cookie of an attempt.
const ATTEMPT_SECONDS: u32 = 600;
/// The longest path that fits into this cookie, encoded.
const NEXT_MAX: usize = 1_500;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dashboard/sign-in/oidc", get(start))
        .route("/dashboard/sign-in/oidc/callback", get(finish))
        .route("/dashboard/confirm/oidc", get(start_confirmation))
}

async fn start(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    guest: Guest,
) -> Result<Response, PageError> {
    to_provider(&shared, &guest, None, &parameter(query.as_deref(), "next")).await
}

async fn start_confirmation(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    visit: Visit,
    guest: Guest,
) -> Result<Response, PageError> {
    to_provider(&shared, &guest, Some(&visit.person), &parameter(query.as_deref(), "next")).await
}

async fn to_provider(
    shared: &Shared,
    guest: &Guest,
    person: Option<&SignedIn>,
    next: &str,
) -> Result<Response, PageError> {
    let next = percent_encode(target(next));
    let next = if next.len() > NEXT_MAX { percent_encode(START) } else { next };
    match shared.app.start_identity(&next, person).await {
        Ok(started) => {
            let mut response = redirect(&started.url);
            let keep = Keep::Seconds(ATTEMPT_SECONDS);
            cookies::set(response.headers_mut(), cookies::IDENTITY, &started.cookie, keep);
            Ok(response)
        }
        Err(error) => {
            let purpose = AttemptPurpose { is_confirmation: person.is_some(), next };
            problem(shared, guest, &error, &purpose).ok_or_else(|| page_error(error))
        }
    }
}

async fn finish(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    guest: Guest,
) -> Result<Response, PageError> {
    let text = |name| parameter(query.as_deref(), name);
    let answer = ProviderAnswer {
        state: text("state"),
        code: text("code"),
        error: text("error"),
        issuer: text("iss"),
    };
    let person = find_person(&headers, guest.browser.remote, &shared).await?;
    let returned = ReturnedBrowser {
        cookie: cookies::find(&headers, cookies::IDENTITY).unwrap_or_default(),
        answer,
        person: person.as_ref(),
        browser: guest.browser.clone(),
    };
    let FailedAttempt { error, purpose } = match shared.app.finish_identity(returned).await {
        Ok((started, next)) => {
            // A confirmation continues the session.
            if let Some(person) = person.as_ref().filter(|person| person.session.id != started.session.id) {
                end(&shared, person).await;
            }
            let next = parameter(Some(&format!("next={next}")), "next");
            return Ok(forget(with_session(redirect(target(&next)), &started)));
        }
        Err(failed) => failed,
    };
    // A request that another site causes must not end an attempt that is in progress.
    let is_foreign = matches!(error, IdentityError::Attempt);
    let unknown = || AttemptPurpose { is_confirmation: false, next: percent_encode(START) };
    let response = problem(&shared, &guest, &error, &purpose.unwrap_or_else(unknown));
    let response = response.ok_or_else(|| page_error(error))?;
    Ok(if is_foreign { response } else { forget(response) })
}

/// An attempt is used once.
fn forget(mut response: Response) -> Response {
    cookies::set(response.headers_mut(), cookies::IDENTITY, "", Keep::Not);
    response
}

/// The page of an error that is about signing in at the provider.
fn problem(
    shared: &Shared,
    guest: &Guest,
    error: &IdentityError,
    purpose: &AttemptPurpose,
) -> Option<Response> {
    let (problem, status) = describe(error)?;
    let provider = shared.app.identity_provider().unwrap_or_default().to_owned();
    let AttemptPurpose { is_confirmation, next } = purpose;
    let page = if *is_confirmation { "/dashboard/confirm" } else { "/dashboard/sign-in" };
    let view = IdentityProblemPage {
        bare: guest.bare.clone(),
        problem,
        provider,
        retry_href: format!("{page}/oidc?next={next}"),
        key_href: format!("{page}?next={next}"),
        is_confirmation: *is_confirmation,
    };
    Some(html(status, &view))
}

/// `None` for errors that other pages have, too.
fn describe(error: &IdentityError) -> Option<(IdentityProblem, StatusCode)> {
    Some(match error {
        IdentityError::Attempt => (IdentityProblem::Attempt, StatusCode::BAD_REQUEST),
        IdentityError::OtherPerson => (IdentityProblem::OtherPerson, StatusCode::FORBIDDEN),
        IdentityError::Provider(error) => match error {
            ProviderError::Denied => (IdentityProblem::Denied, StatusCode::FORBIDDEN),
            ProviderError::Misconfigured(_) => {
                (IdentityProblem::Misconfigured, StatusCode::INTERNAL_SERVER_ERROR)
            }
            ProviderError::Unavailable(_) => (IdentityProblem::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
            ProviderError::NotAccepted(_) => (IdentityProblem::NotAccepted, StatusCode::FORBIDDEN),
        },
        IdentityError::Refused(refusal) => {
            let problem = match refusal {
                Refusal::NoRole => IdentityProblem::NoRole,
                Refusal::NoAccount => IdentityProblem::NoAccount,
                Refusal::Domain => IdentityProblem::Domain,
                Refusal::NoName => IdentityProblem::NoName,
            };
            (problem, StatusCode::FORBIDDEN)
        }
        IdentityError::NotConfigured | IdentityError::Session(_) => return None,
    })
}

fn page_error(error: IdentityError) -> PageError {
    match error {
        IdentityError::Session(error) => error.into(),
        _ => PageError::NotFound,
    }
}
