//! Who is calling: the API key in `Authorization`, raw or behind `Bearer`. One answer for every reason to refuse.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use app::Caller;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::api_key::PlainKey;

use crate::error::{Code, Problem};
use crate::{ClientAddress, Shared};

/// The caller of a request that was let in.
pub(crate) struct Authenticated(pub(crate) Caller);

/// Where the request's log line finds who called. Put into the request before it is routed.
#[derive(Clone, Default)]
pub(crate) struct CallerSlot(pub(crate) Arc<OnceLock<Caller>>);

impl FromRequestParts<Shared> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let key = presented_key(parts).ok_or(Code::Unauthorized)?;
        let caller = shared.app.authenticate(&key, remote(parts, shared.settings.client_address)).await?;
        if let Some(slot) = parts.extensions.get::<CallerSlot>() {
            // Only one extractor fills it.
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

/// The client's address, as far as the settings let us believe it.
fn remote(parts: &Parts, source: ClientAddress) -> Option<IpAddr> {
    let peer = || parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    match source {
        ClientAddress::Peer => peer(),
        ClientAddress::ForwardedFor => {
            let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back();
            let last =
                forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
            last.or_else(peer)
        }
    }
}
