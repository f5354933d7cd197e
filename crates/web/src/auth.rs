//! Authentication: the API key in `Authorization`, raw or after `Bearer`. The response is the same for every kind of
//! invalid key. Then the scope that the route declares is checked.

use std::sync::{Arc, OnceLock};

use app::{Authentication, Caller, Error, RateReport, WriteInProgress};
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::api_key::PlainKey;
use domain::id::{ApiKeyId, ConnectionId};
use domain::job::JobId;

use crate::Shared;
use crate::access::RouteAccess;
use crate::client_address::ClientIp;
use crate::error::{Code, Problem};

/// The authenticated caller of a request, whose key has the scope of the route.
pub(crate) struct Authenticated(pub(crate) Arc<Caller>);

/// Lets the request's log line find the caller, and its response the rates. Added to the request before routing.
#[derive(Clone, Default)]
pub(crate) struct CallerSlot(pub(crate) Arc<Slot>);

/// What is known of a request's caller once it was authenticated.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) caller: OnceLock<Arc<Caller>>,
    /// The state of the rates after this request.
    pub(crate) rates: OnceLock<RateReport>,
    /// It ends with the request.
    write: OnceLock<WriteInProgress>,
}

impl FromRequestParts<Shared> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let client = parts.extensions.get::<ClientIp>().and_then(|client| client.0);
        // Only one extractor sets its values.
        let slot = parts.extensions.get::<CallerSlot>().map(|slot| slot.0.clone());
        let authenticated = match presented_key(parts) {
            Some(key) => shared.app.authenticate(&key, client).await,
            None => Err(shared.app.refuse_key(client)),
        };
        if let (Some(slot), Err(Error::TooManyFailedKeys(report))) = (&slot, &authenticated) {
            let _ = slot.rates.set(*report);
        }
        let Authentication { caller, rates } = authenticated?;
        let caller = Arc::new(caller);
        let report = rates.take(shared.app.is_shared());
        if let Some(slot) = &slot {
            let _ = slot.caller.set(caller.clone());
            let _ = slot.rates.set(report);
        }
        // Before the scope is checked: a refusal for a missing one is audited, which is a write too.
        if let Some(slot) = slot
            && !parts.method.is_safe()
        {
            let _ = slot.write.set(shared.app.begin_write(&caller)?);
        }
        // A request that lacks the scope counts too.
        let is_within_rate = report.retry_after_seconds.is_none();
        check_scope(parts, shared, &caller, is_within_rate).await?;
        match report.retry_after_seconds {
            None => Ok(Self(caller)),
            Some(seconds) => Err(Problem::rate_limited(seconds)),
        }
    }
}

/// Checks that the caller's key has the scope that the route declares. A refused mutation is audited within the rate alone:
/// otherwise a key that may do nothing could fill the audit log.
async fn check_scope(
    parts: &Parts,
    shared: &Shared,
    caller: &Caller,
    is_within_rate: bool,
) -> Result<(), Problem> {
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let Some(RouteAccess { scope, action }) = shared.access.find(path, &parts.method) else {
        tracing::error!(path, "the route does not declare who may call it");
        return Err(Code::InternalError.into());
    };
    let Some(missing) = scope.filter(|scope| !caller.scopes.has(*scope)) else { return Ok(()) };
    let mutation = action.filter(|_| is_within_rate).map(|action| (action, subject(path, parts.uri.path())));
    Err(shared.app.forbid(caller, missing, mutation).await.into())
}

/// The record that a path names, for the audit log: what is in the place of the first parameter, if it is an ID. Anything
/// else may be an API key that was pasted there.
fn subject(template: &str, path: &str) -> Option<String> {
    // From the end: the path of a nested route lacks the base path.
    let from_end = template.rsplit('/').enumerate().filter(|(_, part)| part.starts_with('{')).last()?.0;
    let id = path.rsplit('/').nth(from_end)?;
    let is_id =
        ConnectionId::parse(id).is_some() || JobId::parse(id).is_some() || ApiKeyId::parse(id).is_some();
    is_id.then(|| id.to_owned())
}

fn presented_key(parts: &Parts) -> Option<PlainKey> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let text = value.to_str().ok()?.trim();
    let key = match text.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_start(),
        _ => text,
    };
    PlainKey::parse(key).ok()
}

#[cfg(test)]
mod tests {
    use super::subject;

    const KEY_ID: &str = "key_7t1b8z4d0c6q2v9x1k3m";
    const CONNECTION_ID: &str = "20260131090500042abcdefghijklmno";
    const JOB_ID: &str = "01946e3a-5b00-7000-8000-0123456789ab";

    #[test]
    fn the_subject_is_the_first_parameter_if_it_is_an_id() {
        let template = "/base/v1/api-keys/{keyId}/rotate";
        assert_eq!(subject(template, &format!("/v1/api-keys/{KEY_ID}/rotate")).as_deref(), Some(KEY_ID));
        assert_eq!(subject("/v1/jobs/{jobId}", &format!("/v1/jobs/{JOB_ID}")).as_deref(), Some(JOB_ID));
        let path = format!("/v1/a/{CONNECTION_ID}/b/{JOB_ID}");
        assert_eq!(subject("/v1/a/{a}/b/{b}", &path).as_deref(), Some(CONNECTION_ID));
        assert_eq!(subject("/v1/api-keys", "/v1/api-keys"), None);
    }

    #[test]
    fn a_pasted_key_is_no_subject() {
        for text in ["", "pictai_H7vQ5dzjH7vQ5dzjH7vQ5dzjH7vQ5dzjMk4sZ", "a%20b", "1", &KEY_ID[1..]] {
            let path = format!("/v1/api-keys/{text}/rotate");
            assert_eq!(subject("/v1/api-keys/{keyId}/rotate", &path), None, "{text}");
        }
    }
}
