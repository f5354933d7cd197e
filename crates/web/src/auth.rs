//! Authentication: the API key in `Authorization`, raw or after `Bearer`. The response is the same for every kind of
//! invalid key.

use std::sync::{Arc, OnceLock};

use app::Caller;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::api_key::PlainKey;

use crate::Shared;
use crate::client_address::ClientIp;
use crate::error::{Code, Problem};

/// The authenticated caller of a request.
pub(crate) struct Authenticated(pub(crate) Caller);

/// Lets the request's log line find the caller. Added to the request before routing.
#[derive(Clone, Default)]
pub(crate) struct CallerSlot(pub(crate) Arc<OnceLock<Caller>>);

impl FromRequestParts<Shared> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let key = presented_key(parts).ok_or(Code::Unauthorized)?;
        let client = parts.extensions.get::<ClientIp>().and_then(|client| client.0);
        let caller = shared.app.authenticate(&key, client).await?;
        if let Some(slot) = parts.extensions.get::<CallerSlot>() {
            // Only one extractor sets it.
            let _ = slot.0.set(caller.clone());
        }
        Ok(Self(caller))
    }
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
